//! Counters and gauges, shown at `/metrics` in the text format of OpenMetrics. Label values come from the code or from
//! small closed sets, never from a caller: nobody outside can make the page grow.

use std::{fmt, sync::atomic::Ordering};

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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refusal {
    listener: &'static str,
    what: &'static str,
    bound: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Unsecured {
    listener: &'static str,
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Probe {
    probe: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Limit {
    name: &'static str,
}

/// All that is counted. Shared by reference; counting is atomic.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    connections: Family<Listener, Gauge>,
    panics: Family<Listener, Counter>,
    refusals: Family<Refusal, Counter>,
    under_way: Family<Listener, Gauge>,
    in_flight: Family<Listener, Gauge>,
    unsecured: Family<Unsecured, Counter>,
    limits: Family<Limit, Gauge>,
    checks: Family<Probe, Gauge>,
    checked: Gauge,
    tolerances: Family<Tolerance, Counter>,
    syncs: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chasqui");
        let (requests, connections, panics, tolerances) = Default::default();
        let (refusals, unsecured, under_way, in_flight, limits) = Default::default();
        let (syncs, checks, checked) = (Counter::default(), Family::<Probe, Gauge>::default(), Gauge::default());
        registry.register("http_requests", "Requests answered", Family::clone(&requests));
        registry.register("http_connections", "Connections open", Family::clone(&connections));
        registry.register("http_panics", "Requests that ended in a panic of ours", Family::clone(&panics));
        registry.register("http_refused", "Callers told to come back, by what was full", Family::clone(&refusals));
        registry.register("tls_refused", "Connections that were not secured, by why", Family::clone(&unsecured));
        registry.register("http_requests_under_way", "Requests being answered", Family::clone(&under_way));
        registry.register("http_bytes_in_flight", "Bytes of bodies being received", Family::clone(&in_flight));
        registry.register("limit", "Limits in force, in bytes, seconds or pieces", Family::clone(&limits));
        registry.register("check", "What a probe found last: 0 well, 1 warning, 2 fails", Family::clone(&checks));
        registry.register("check_time_seconds", "When the probes were last run", checked.clone());
        registry.register("tolerances", "Deviations from the contract that were accepted", Family::clone(&tolerances));
        registry.register("store_syncs", "Files and folders that were synced to the disk", syncs.clone());
        Self {
            registry,
            requests,
            connections,
            panics,
            refusals,
            unsecured,
            under_way,
            in_flight,
            limits,
            checks,
            checked,
            tolerances,
            syncs,
        }
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

    /// A caller was told to come back: `what` was full (connections, requests, bytes), for all or for this peer.
    pub fn refused(&self, listener: &'static str, what: &'static str, bound: &'static str) {
        self.refusals.get_or_create(&Refusal { listener, what, bound }).inc();
    }

    /// A connection was closed before TLS was agreed on.
    pub fn unsecured(&self, listener: &'static str, why: &'static str) {
        self.unsecured.get_or_create(&Unsecured { listener, why }).inc();
    }

    /// A request is being answered until what is returned is dropped.
    pub fn under_way(&self, listener: &'static str) -> UnderWay {
        let gauge = self.under_way.get_or_create(&Listener { listener }).clone();
        gauge.inc();
        UnderWay(gauge)
    }

    /// The gauge of bytes that a listener is receiving.
    pub fn in_flight(&self, listener: &'static str) -> Gauge {
        self.in_flight.get_or_create(&Listener { listener }).clone()
    }

    /// A limit in force. Names come from the configuration's keys.
    pub fn limit(&self, name: &'static str, value: u64) {
        self.limits.get_or_create(&Limit { name }).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// What a probe found: 0 well, 1 warning, 2 fails.
    pub fn check(&self, probe: &'static str, gravity: i64) {
        self.checks.get_or_create(&Probe { probe }).set(gravity);
    }

    /// The probes were run, at this second.
    pub fn checked(&self, at: i64) {
        self.checked.set(at);
    }

    /// A deviation from the contract was accepted (CONTRACT §2 to §4); each has a name.
    pub fn tolerated(&self, name: &'static str) {
        self.tolerances.get_or_create(&Tolerance { name }).inc();
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        self.syncs.inner().store(super::syncs::total(), Ordering::Relaxed);
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
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
        metrics.refused("soap", "requests", "peer");
        metrics.limit("connections_max", 512);
        let _one = metrics.under_way("soap");
        drop(metrics.under_way("soap"));
        let page = metrics.text().unwrap();
        for line in [
            "chasqui_http_refused_total{listener=\"soap\",what=\"requests\",bound=\"peer\"} 1",
            "chasqui_http_requests_under_way{listener=\"soap\"} 1",
            "chasqui_limit{name=\"connections_max\"} 512",
            "chasqui_tolerances_total{name=\"part_named_request\"} 2",
            "chasqui_http_requests_total{listener=\"soap\",status=\"200\"} 1",
            "chasqui_http_connections{listener=\"api\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{page}");
        }
    }
}
