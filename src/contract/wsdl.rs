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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::fixture::describe;

    /// The lists were compared once, line by line, with the descriptions the platform and the reference component publish.
    #[test]
    fn our_descriptions_say_what_the_published_ones_say() {
        insta::assert_snapshot!("tramite", describe(TRAMITE).join("\n"));
        insta::assert_snapshot!("cuo", describe(CUO).join("\n"));
        for (flavour, name) in [(Flavour::Production, "production"), (Flavour::Test, "test")] {
            insta::assert_snapshot!(format!("entidad_{name}"), describe(entidad(flavour)).join("\n"));
            insta::assert_snapshot!(format!("iotramite_{name}"), describe(iotramite(flavour)).join("\n"));
        }
    }

    #[test]
    fn each_has_one_place_for_its_address() {
        let ours = [Flavour::Production, Flavour::Test].map(|f| [entidad(f), iotramite(f)]).concat();
        for wsdl in ours.into_iter().chain([TRAMITE, CUO]) {
            assert_eq!(wsdl.matches(crate::soap::wsdl::ADDRESS).count(), 1);
        }
    }
}
