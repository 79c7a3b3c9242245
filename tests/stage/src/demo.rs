pub fn demo(_: &std::path::Path, _: &std::path::Path) -> crate::Result<bool> {
    todo!()
}
