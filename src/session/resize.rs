//! When the guest is told how large its picture is wanted.

use std::time::Duration;

use crate::frame::SizeHint;
use crate::scanout::Time;

/// How long a sink keeps its size before the guest is told: a window that is dragged has many.
const PAUSE: Duration = Duration::from_millis(100);

/// The latest size of the sink that the guest wasn't told yet.
#[derive(Debug, Default)]
pub(super) struct Resize(Option<(SizeHint, Time)>);

impl Resize {
    pub(super) fn want(&mut self, hint: SizeHint, now: Time) {
        self.0 = Some((hint, now + PAUSE));
    }

    /// How long until it is due.
    pub(super) fn due_in(&self, now: Time) -> Option<Duration> {
        self.0.map(|(_, due)| due.saturating_sub(now))
    }

    /// What is due, once.
    pub(super) fn take_due(&mut self, now: Time) -> Option<SizeHint> {
        self.0.take_if(|(_, due)| *due <= now).map(|(hint, _)| hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    #[test]
    fn only_the_last_of_many_is_told_and_once() {
        let hint = |width| SizeHint { size: Size { width, height: 1 }, mm: None };
        let mut resize = Resize::default();
        assert_eq!((resize.due_in(Time::ZERO), resize.take_due(Time::MAX)), (None, None));
        let mut now = Time::ZERO;
        for width in 1..=50 {
            now += Duration::from_millis(99);
            assert_eq!(resize.take_due(now), None);
            resize.want(hint(width), now);
        }
        assert_eq!(resize.due_in(now), Some(PAUSE));
        assert_eq!(resize.take_due(now + PAUSE), Some(hint(50)));
        assert_eq!(resize.take_due(Time::MAX), None);
    }
}
