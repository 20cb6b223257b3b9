//! The service descriptions we publish, written by us to the platform's contract; the files are in `wsdl/`. Answer one with
//! [`crate::soap::wsdl::with_address`].

use super::Flavour;

/// The entity's component.
pub const TRAMITE: &str = include_str!("../../wsdl/entity/Tramite.wsdl");
/// The platform's CUO service; it has one description with both operations.
pub const CUO: &str = include_str!("../../wsdl/production/PcmCuo.wsdl");

/// The platform's directory.
pub fn entidad(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Production => include_str!("../../wsdl/production/PcmIMgdEntidad.wsdl"),
        Flavour::Test => include_str!("../../wsdl/test/Entidad.wsdl"),
    }
}

/// The platform's tramite service.
pub fn iotramite(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Production => include_str!("../../wsdl/production/PcmIMgdTramite.wsdl"),
        Flavour::Test => include_str!("../../wsdl/test/IOTramite.wsdl"),
    }
}
