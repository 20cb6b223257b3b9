//! The end of the story: each side's evidence of the first document, verified with nothing but the file, the trust anchors
//! and the key of the log.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
    path::Path,
};

use openssl::x509::X509;

use super::{
    cast::{ANCHORS, Cast, Member},
    screen::{Screen, thousands},
    story::Exchanged,
};
use crate::{
    audit::evidence::{Report, Trust, Verdict, verify},
    cli::{Failure, causes::in_spanish},
};

pub async fn show(screen: &mut Screen, cast: &Cast, exchanged: &Exchanged, folder: &Path) -> Result<(), Failure> {
    screen.step("Cada entidad guarda su evidencia, que se prueba sola");
    let sender = format!("/api/v1/despachos/{}/evidencia", exchanged.despacho);
    let receiver = format!("/api/v1/recepciones/{}/evidencia", exchanged.recepcion);
    for (member, path) in [(&cast.sender, sender), (&cast.receiver, receiver)] {
        let package = member.api.bytes(&path).await?;
        let file = folder.join(format!("evidencia-{}.asice", member.ruc));
        let written = std::fs::write(&file, &package).and_then(|()| File::open(&file));
        let written =
            written.map_err(|error| Failure::Failed(format!("{}: {}", file.display(), in_spanish(&error))))?;
        one(screen, member, BufReader::new(written), package)?;
    }
    Ok(())
}

fn one(screen: &mut Screen, member: &Member, file: impl Read + Seek, mut package: Vec<u8>) -> Result<(), Failure> {
    let anchors = X509::stack_from_pem(ANCHORS.as_bytes()).map_err(|error| Failure::Failed(error.to_string()))?;
    let trust = Trust { anchors, key: Some(member.daemon.audit().key().clone()) };
    let report = verify(file, &trust);
    let proven = proofs(&report)
        .ok_or_else(|| Failure::Failed(format!("la evidencia de {} no prueba lo que debe:\n{report}", member.name)))?;
    screen.checked();
    screen.fact("Evidencia", &format!("{}: {} bytes", member.name, thousands(package.len() as u64)));
    screen.more(&format!("firmada por la entidad; prueba {proven} cosas sin red, sin servicio y sin datos"));
    let middle = package.len() / 2;
    if let Some(byte) = package.get_mut(middle) {
        *byte ^= 1;
    }
    if verify(Cursor::new(package), &trust).is_sound() {
        return Err(Failure::Failed(format!("la evidencia alterada de {} pasó por buena", member.name)));
    }
    screen.checked();
    screen.more("con un solo bit cambiado, se descubre");
    Ok(())
}

/// How much a sound package proves, the entity's signature among it.
fn proofs(report: &Report) -> Option<usize> {
    let proven = || report.hallazgos.iter().filter(|finding| finding.veredicto == Verdict::Probado);
    let signed = proven().any(|finding| finding.texto.contains("CAdES"));
    (report.is_sound() && signed).then(|| proven().count())
}
