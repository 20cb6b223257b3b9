//! Lists for tests, signed by xmlsec1.

use crate::signing::{
    trust::Trust,
    xml::tests::{INCLUSIVE, Template, signed},
};

pub const ISSUER: &str = "http://uri.etsi.org/TrstSvc/Svctype/CA/QC";
pub const TSA: &str = "http://uri.etsi.org/TrstSvc/Svctype/TSA/QTST";
pub const SUPERVISED: &str = "http://uri.etsi.org/TrstSvc/eSigDir-1999-93-EC-TrustedList/Svcstatus/undersupervision";
pub const GRANTED: &str = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/granted";
pub const WITHDRAWN: &str = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/withdrawn";

pub const INTERMEDIATE: &str = include_str!("../../../fixtures/pki/intermediate.cert.pem");
pub const TSA_CERT: &str = include_str!("../../../fixtures/pki/tsa.cert.pem");

/// A service as the list writes it; `history`: earlier states, each with its beginning.
pub fn service(kind: &str, certificate: &str, status: &str, since: &str, history: &[(&str, &str)]) -> String {
    let body: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let earlier = |(status, since): &(&str, &str)| {
        format!(
            "<tsl:ServiceHistoryInstance><tsl:ServiceTypeIdentifier>{kind}</tsl:ServiceTypeIdentifier>\
             <tsl:ServiceStatus>{status}</tsl:ServiceStatus><tsl:StatusStartingTime>{since}</tsl:StatusStartingTime>\
             </tsl:ServiceHistoryInstance>"
        )
    };
    let history: String = history.iter().map(earlier).collect();
    format!(
        "<tsl:TSPService><tsl:ServiceInformation><tsl:ServiceTypeIdentifier>{kind}</tsl:ServiceTypeIdentifier>\
         <tsl:ServiceName><tsl:Name xml:lang=\"en\">ISSUING SERVICE</tsl:Name>\
         <tsl:Name xml:lang=\"es\">SERVICIO\n   DE EMISIÓN</tsl:Name></tsl:ServiceName><tsl:ServiceDigitalIdentity>\
         <tsl:DigitalId>\n<tsl:X509Certificate>{body}</tsl:X509Certificate>\n</tsl:DigitalId>\
         <tsl:DigitalId><tsl:X509SKI>cG9ORQ==</tsl:X509SKI></tsl:DigitalId></tsl:ServiceDigitalIdentity>\
         <tsl:ServiceStatus>{status}</tsl:ServiceStatus><tsl:StatusStartingTime>{since}</tsl:StatusStartingTime>\
         </tsl:ServiceInformation><tsl:ServiceHistory>{history}</tsl:ServiceHistory></tsl:TSPService>"
    )
}

/// A list in the shape of the Peruvian one, to be signed with its root named by its Id.
pub fn list(issued: &str, due: &str, sequence: u64, services: &str) -> Vec<u8> {
    let before = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tsl:TrustServiceStatusList xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
         xmlns:tsl=\"http://uri.etsi.org/02231/v2#\" Id=\"tsl-1\" TSLTag=\"http://uri.etsi.org/02231/TSLTag\">\n\
         <tsl:SchemeInformation><tsl:TSLVersionIdentifier>3</tsl:TSLVersionIdentifier>\
         <tsl:TSLSequenceNumber>{sequence}</tsl:TSLSequenceNumber><tsl:SchemeOperatorName>\
         <tsl:Name xml:lang=\"es\">AUTORIDAD DE PRUEBA</tsl:Name></tsl:SchemeOperatorName>\
         <tsl:SchemeTerritory>PE</tsl:SchemeTerritory><tsl:ListIssueDateTime>{issued}</tsl:ListIssueDateTime>\
         <tsl:NextUpdate><tsl:dateTime>{due}</tsl:dateTime></tsl:NextUpdate></tsl:SchemeInformation>\
         <tsl:TrustServiceProviderList><tsl:TrustServiceProvider><tsl:TSPInformation><tsl:TSPName>\
         <tsl:Name xml:lang=\"en\">PRESTADOR DE PRUEBA</tsl:Name></tsl:TSPName></tsl:TSPInformation>\
         <tsl:TSPServices>{services}</tsl:TSPServices></tsl:TrustServiceProvider></tsl:TrustServiceProviderList>\n"
    );
    let template = Template { uri: "#tsl-1", ..Template::new(INCLUSIVE) };
    signed(&before, &template, "</tsl:TrustServiceStatusList>")
}

/// Who may sign it: the certificate that does.
pub fn signers() -> Trust {
    let mut trust = Trust::default();
    let signer = include_bytes!("../../../fixtures/pki/agente-municipalidad.cert.pem");
    trust.with(signer, "agente.pem").expect("the test PKI");
    trust
}
