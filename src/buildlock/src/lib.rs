//! A build-session lock.
