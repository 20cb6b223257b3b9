//! The directory the simulated platform shows: made-up entities over all eight categories, beside those that are
//! registered. Their RUCs have right check digits and belong to nobody; their names say that they are samples.

use crate::domain::{Categoria, Entidad, Ruc};

/// Ends the name of every sample.
const MARK: &str = " (MUESTRA)";

/// Category, RUC, name.
const MUESTRA: [(u8, &str, &str); 22] = [
    (1, "20900002018", "MINISTERIO DE ASUNTOS DE MUESTRA"),
    (1, "20900002026", "SUPERINTENDENCIA NACIONAL DE EJEMPLOS"),
    (1, "20900002034", "INSTITUTO NACIONAL DE PRUEBAS Y ENSAYOS"),
    (1, "20900002042", "PROGRAMA NACIONAL DE DATOS FICTICIOS"),
    (2, "20900002051", "CONGRESO DE MUESTRA - OFICIALÍA MAYOR"),
    (2, "20900002069", "CENTRO DE ESTUDIOS PARLAMENTARIOS DE MUESTRA"),
    (3, "20900002077", "CORTE SUPERIOR DE JUSTICIA DE VILLA MUESTRA"),
    (3, "20900002085", "CORTE SUPERIOR DE JUSTICIA DE PUERTO EJEMPLO"),
    (4, "20900002093", "DEFENSORÍA DE MUESTRA"),
    (4, "20900002107", "CONTRALORÍA DE MUESTRA"),
    (4, "20900002115", "REGISTRO NACIONAL DE MUESTRAS Y EJEMPLOS"),
    (5, "20900002123", "UNIVERSIDAD NACIONAL DE VILLA MUESTRA"),
    (5, "20900002131", "UNIVERSIDAD NACIONAL TECNOLÓGICA DE ÑAHUIPAMPA"),
    (6, "20900002140", "GOBIERNO REGIONAL DE MUESTRA ALTA"),
    (6, "20900002158", "GOBIERNO REGIONAL DE MUESTRA BAJA"),
    (7, "20900002166", "MUNICIPALIDAD PROVINCIAL DE VILLA MUESTRA"),
    (7, "20900002174", "MUNICIPALIDAD PROVINCIAL DE PUERTO EJEMPLO"),
    (7, "20900002182", "MUNICIPALIDAD PROVINCIAL DE ÑAHUIPAMPA"),
    (8, "20900002191", "MUNICIPALIDAD DISTRITAL DE SANTA MUESTRA"),
    (8, "20900002204", "MUNICIPALIDAD DISTRITAL DE SAN EJEMPLO"),
    (8, "20900002212", "MUNICIPALIDAD DISTRITAL DE NUEVA PRUEBA"),
    (8, "20900002221", "MUNICIPALIDAD DISTRITAL DE EL ENSAYO"),
];

/// The sample entities. They are in the directory and have no service: nothing sent to them arrives.
pub fn muestra() -> Vec<Entidad> {
    let entidad = |(categoria, ruc, nombre): &(u8, &str, &str)| {
        let (categoria, ruc) = (Categoria::try_from(*categoria).ok()?, Ruc::de_contraparte(ruc).ok()?);
        Some(Entidad { ruc, nombre: format!("{nombre}{MARK}"), categoria })
    };
    MUESTRA.iter().filter_map(entidad).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn samples_cover_all_categories_with_sound_rucs_and_say_what_they_are() {
        let all = muestra();
        assert_eq!(all.len(), MUESTRA.len());
        let categories: BTreeSet<Categoria> = all.iter().map(|e| e.categoria).collect();
        assert_eq!(categories, Categoria::todas().collect());
        let rucs: BTreeSet<&Ruc> = all.iter().map(|e| &e.ruc).collect();
        assert_eq!(rucs.len(), all.len(), "no RUC twice");
        assert!(all.iter().all(|e| e.ruc.digito_correcto() && e.nombre.ends_with(MARK)));
    }
}
