//! The export to an OpenTelemetry collector, which the program has if it was built with the feature `otlp`.

use tokio::runtime::Runtime;

use crate::config::Environment;
use crate::metrics;
use crate::server::Server;

/// The variables that say what is exported.
pub(super) struct Telemetry<'e> {
    environment: &'e Environment,
}

impl<'e> Telemetry<'e> {
    /// Takes the variables of the process.
    pub(super) fn of(environment: &'e Environment) -> Telemetry<'e> {
        Telemetry { environment }
    }

    /// Starts the export that the variables ask for.
    #[cfg(feature = "otlp")]
    pub(super) fn start(
        &self,
        runtime: &Runtime,
        server: &Server,
        handle: metrics::Handle,
    ) -> Exporting {
        let _entered = runtime.enter();
        let variable = |name: &str| self.environment.foreign(name);
        let (readiness, node) = (server.readiness(), server.node());
        Exporting(crate::otlp::Exporter::start(variable, handle, readiness, node))
    }

    /// Says that nothing is exported, to those who expect it.
    #[cfg(not(feature = "otlp"))]
    pub(super) fn start(&self, _: &Runtime, _: &Server, _: metrics::Handle) -> Exporting {
        if self.environment.foreign("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
            tracing::info!(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this program was built without the feature otlp: \
                 nothing is exported; a collector can scrape /metrics"
            );
        }
        Exporting
    }
}

/// An export that runs, if there is one.
#[cfg(feature = "otlp")]
pub(super) struct Exporting(Option<crate::otlp::Exporter>);

/// No export.
#[cfg(not(feature = "otlp"))]
pub(super) struct Exporting;

impl Exporting {
    /// Exports what is left, and waits for it for a second or two.
    #[cfg(feature = "otlp")]
    pub(super) fn end(self, runtime: &Runtime) {
        if let Some(exporter) = self.0 {
            runtime.block_on(exporter.end());
        }
    }

    /// There is nothing to end.
    #[cfg(not(feature = "otlp"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn end(self, _: &Runtime) {}
}
