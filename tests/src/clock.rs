//! The one clock that all processes of a machine share.

/// Its time in nanoseconds (clock_gettime(2), `CLOCK_MONOTONIC`).
#[cfg(unix)]
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Its time in nanoseconds (QueryPerformanceCounter).
#[cfg(windows)]
#[must_use]
pub fn now_ns() -> u64 {
    use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
    let (mut ticks, mut per_second) = (0, 0);
    // SAFETY: both pointers are to live values. Neither call fails since Windows XP.
    unsafe {
        QueryPerformanceCounter(&mut ticks);
        QueryPerformanceFrequency(&mut per_second);
    }
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(per_second.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}
