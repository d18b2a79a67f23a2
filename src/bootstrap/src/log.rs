//! Traces for those who look for a mistake: `BOOTSTRAP_LOG=buildlock=debug ./x check`, on stderr.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::error::{Error, Result};

const VARIABLE: &str = "BOOTSTRAP_LOG";

/// Starts the log if `BOOTSTRAP_LOG` asks for one. Nothing is set up otherwise: most runs should not pay for it.
///
/// # Errors
/// Where the variable does not hold a filter.
pub fn start() -> Result<()> {
    let Ok(filter) = env::var(VARIABLE) else {
        return Ok(());
    };
    let filter = EnvFilter::try_new(&filter).map_err(|e| {
        Error::usage(format!("cannot read {VARIABLE}=`{filter}`"))
            .because(e)
            .advice("for example `debug`, or `buildlock=trace,bootstrap=debug`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_span_events(FmtSpan::CLOSE)
        .init();
    Ok(())
}
