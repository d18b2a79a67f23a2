//! Traces for those who look for a mistake: `BOOTSTRAP_LOG=buildlock=debug ./x check`, on stderr.

use std::env;
use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    // Not `EnvFilter`, whose regular expressions would cost every first `./x` some seconds of compiling.
    let targets: Targets = filter.parse().map_err(|e| {
        Error::usage(format!("cannot read {VARIABLE}=`{filter}`"))
            .because(e)
            .advice("for example `debug`, or `buildlock=trace,bootstrap=debug`")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_span_events(FmtSpan::CLOSE);
    tracing_subscriber::registry().with(lines).with(targets).init();
    Ok(())
}
