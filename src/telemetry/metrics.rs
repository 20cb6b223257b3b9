//! Counters and gauges, shown at `/metrics` in the text format of OpenMetrics. Label values come from the code or from
//! small closed sets, never from a caller: nobody outside can make the page grow.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    listener: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tolerance {
    name: &'static str,
}

/// All that is counted. Shared by reference; counting is atomic.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    connections: Family<Listener, Gauge>,
    panics: Family<Listener, Counter>,
    tolerances: Family<Tolerance, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chasqui");
        let (requests, connections, panics, tolerances) = Default::default();
        registry.register("http_requests", "Requests answered", Family::clone(&requests));
        registry.register("http_connections", "Connections open", Family::clone(&connections));
        registry.register("http_panics", "Requests that ended in a panic of ours", Family::clone(&panics));
        registry.register("tolerances", "Deviations from the contract that were accepted", Family::clone(&tolerances));
        Self { registry, requests, connections, panics, tolerances }
    }
}

impl Metrics {
    pub fn request(&self, listener: &'static str, status: u16) {
        self.requests.get_or_create(&Request { listener, status }).inc();
    }

    pub fn connection_opened(&self, listener: &'static str) {
        self.connections.get_or_create(&Listener { listener }).inc();
    }

    pub fn connection_closed(&self, listener: &'static str) {
        self.connections.get_or_create(&Listener { listener }).dec();
    }

    pub fn panicked(&self, listener: &'static str) {
        self.panics.get_or_create(&Listener { listener }).inc();
    }

    /// A deviation from the contract was accepted (CONTRACT §2 to §4); each has a name.
    pub fn tolerated(&self, name: &'static str) {
        self.tolerances.get_or_create(&Tolerance { name }).inc();
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_on_the_page() {
        let metrics = Metrics::default();
        metrics.tolerated("part_named_request");
        metrics.tolerated("part_named_request");
        metrics.request("soap", 200);
        metrics.connection_opened("api");
        let page = metrics.text().unwrap();
        for line in [
            "chasqui_tolerances_total{name=\"part_named_request\"} 2",
            "chasqui_http_requests_total{listener=\"soap\",status=\"200\"} 1",
            "chasqui_http_connections{listener=\"api\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{page}");
        }
    }
}
