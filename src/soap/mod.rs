//! SOAP 1.1 over whatever stream it is given: reading envelopes as they arrive, writing them as they leave, faults, and
//! the two layers of base64 in which documents travel. Knows nothing of tramites; does no I/O of its own.

pub mod sink;
