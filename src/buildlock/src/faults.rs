//! Failures of the file system on order, for tests. Without the feature `fault-injection` this is nothing at all.

use std::io;

/// Fails if a test ordered the call that is about to be made to fail.
#[cfg(not(feature = "fault-injection"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "the same face as with the feature on")]
pub(crate) fn check(_call: &'static str) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "fault-injection")]
pub(crate) use on_order::check;
#[cfg(feature = "fault-injection")]
pub use on_order::{calls_made, fail_call};

#[cfg(feature = "fault-injection")]
mod on_order {
    use super::io;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Order {
        made: Vec<&'static str>,
        fail: Option<(usize, i32)>,
    }

    thread_local! {
        /// Nothing until the first order: then calls are not even counted.
        static ORDER: RefCell<Option<Order>> = const { RefCell::new(None) };
    }

    /// Orders that the `nth` call from now (0 is the next) of this thread fails with an operating system's error code;
    /// `None` orders that none does. Counting starts anew.
    pub fn fail_call(order: Option<(usize, i32)>) {
        ORDER.with_borrow_mut(|o| {
            *o = Some(Order {
                made: Vec::new(),
                fail: order,
            });
        });
    }

    /// The calls that this thread made since the last order.
    #[must_use]
    pub fn calls_made() -> Vec<&'static str> {
        ORDER.with_borrow(|o| o.as_ref().map_or_else(Vec::new, |o| o.made.clone()))
    }

    pub(crate) fn check(call: &'static str) -> io::Result<()> {
        ORDER.with_borrow_mut(|o| {
            let Some(o) = o else { return Ok(()) };
            o.made.push(call);
            match o.fail {
                Some((nth, code)) if nth + 1 == o.made.len() => Err(io::Error::from_raw_os_error(code)),
                _ => Ok(()),
            }
        })
    }
}
