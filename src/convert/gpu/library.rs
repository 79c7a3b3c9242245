//! C libraries, loaded when they are needed: where one is missing there is no GPU, and all else works.

use std::ffi::{CStr, c_void};
use std::ptr;

use libloading::Library;

/// Declares a table of C functions, each with its name in C, and how the table is filled.
macro_rules! functions {
    ($(#[$doc:meta])* $table:ident {
        $($name:ident = $symbol:literal: fn($($argument:ty),* $(,)?) $(-> $result:ty)?;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $table {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
        }

        impl $table {
            /// Fills the table, or says which function is missing.
            ///
            /// # Safety
            /// What `find` finds must be null, or the function that its library's header declares
            /// by that name.
            pub(super) unsafe fn load(
                find: impl Fn(&std::ffi::CStr) -> *mut std::ffi::c_void,
            ) -> Result<Self, String> {
                $(
                    let found = std::ptr::NonNull::new(find($symbol))
                        .ok_or_else(|| format!("there is no function {:?}", $symbol))?;
                    // SAFETY: not null (checked above), so the function of that name, as the caller
                    // promises; its type is written down beside the name, as in the header.
                    let $name = unsafe {
                        std::mem::transmute::<
                            std::ptr::NonNull<std::ffi::c_void>,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(found)
                    };
                )+
                Ok(Self { $($name),+ })
            }
        }
    };
}
pub(super) use functions;

/// Loads a library, for ever: what drivers leave behind in threads must not lose its code. Gives
/// what finds its functions.
pub(super) fn load(name: &str) -> Result<impl Fn(&CStr) -> *mut c_void + use<>, String> {
    // SAFETY: it is one of the system's graphics libraries, whose initializers ask for nothing.
    let library = unsafe { Library::new(name) };
    let library = library.map_err(|error| format!("{name} can't be loaded ({error})"))?;
    let library: &'static Library = Box::leak(Box::new(library));
    Ok(move |symbol: &CStr| {
        // SAFETY: any symbol may be looked at as an address; nothing is read from it here.
        unsafe { library.get::<*mut c_void>(symbol) }.map_or(ptr::null_mut(), |found| *found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    functions! {
        /// A function of libc's that needs nothing.
        Libc { absolute = c"abs": fn(i32) -> i32; }
    }

    #[test]
    fn functions_are_found_by_name() {
        let find = load("libc.so.6").expect("there is a libc");
        // SAFETY: abs(3) takes and gives an int.
        let libc = unsafe { Libc::load(&find) }.expect("with abs in it");
        // SAFETY: as above; -7 isn't INT_MIN.
        assert_eq!(unsafe { (libc.absolute)(-7) }, 7);
        // SAFETY: null is allowed.
        let missing = unsafe { Libc::load(|_| ptr::null_mut()) }.unwrap_err();
        assert!(missing.contains("abs"), "{missing}");
    }

    #[test]
    fn a_missing_library_is_named() {
        let missing = load("libfanlight-none.so.9").err().expect("there is none");
        assert!(missing.contains("libfanlight-none.so.9 can't be loaded"), "{missing}");
    }
}
