//! Lines of counts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::{Despacho, EstadoDespacho, EstadoRecepcion, Recepcion, Ruc},
    store::{
        Change, Record, SharedStore, Store,
        samples::{at, bytes, change, cuo, despacho, documento, fact, recepcion, ruc, stage},
        tally::{Counts, Kind, Line, Lines, Tally, beginning_of, day_of},
    },
};

async fn lines(store: &dyn Store, entidad: &Ruc, kind: Kind, by_counterpart: bool) -> Vec<Line> {
    let days = (day_of(at(0)), day_of(at(0)) + 2);
    store.lines(&Lines { entidad, kind, days, by_counterpart }).await.unwrap()
}

/// What the lines should be, counted from the records themselves.
fn counted(records: &[Record], kind: Kind, by_counterpart: bool) -> Vec<Line> {
    let mut found: BTreeMap<(u32, Option<Ruc>), Counts> = BTreeMap::new();
    for tally in records.iter().filter_map(Tally::of).filter(|tally| tally.kind == kind) {
        let counterpart = by_counterpart.then(|| tally.counterpart.clone());
        found.entry((tally.day, counterpart)).or_default().add(&tally);
    }
    found.into_iter().map(|((day, counterpart), counts)| Line { day, counterpart, counts }).collect()
}

pub async fn exchanges_are_counted_by_day_and_counterpart_as_they_change(store: SharedStore) {
    let staged = stage(&*store, &bytes(90, 100)).await;
    let document = documento(&staged);
    let made = |days: i64, n: u8| -> Despacho {
        let creado_en = at(0) + SignedDuration::from_hours(24 * days);
        Despacho { creado_en, destino: ruc(n), ..despacho(document.clone()) }
    };
    let received = recepcion(cuo(90), ruc(2), document.clone());
    let sent = [made(0, 2), made(0, 3), made(1, 2), made(2, 2), made(3, 2)];
    let mut records: Vec<Record> = sent.iter().map(|d| Record::Despacho(Box::new(d.clone()))).collect();
    records.push(Record::Recepcion(Box::new(received.clone())));
    // Some in one commit, the others each in its own.
    let (together, apart) = records.split_at(3);
    let facts = vec![fact(sent[0].id, "a")];
    let first = Change { facts, records: together.to_vec(), documents: vec![staged], ..Change::default() };
    store.commit(first).await.unwrap();
    for record in apart {
        store.commit(change(record.clone(), vec![])).await.unwrap();
    }
    let later = |from: Timestamp, seconds: i64| from + SignedDuration::from_secs(seconds);
    let answered = |d: &Despacho, estado, seconds: i64| {
        let enviado_en = Some(later(d.creado_en, 10));
        let actualizado_en = later(d.creado_en, 10 + seconds);
        Despacho { version: d.version + 1, estado, enviado_en, actualizado_en, ..d.clone() }
    };
    let closed = Recepcion {
        version: 2,
        estado: EstadoRecepcion::Recepcionado,
        cargo_entregado_en: Some(later(received.recibido_en, 7_200)),
        ..received
    };
    let changed = [
        Record::Despacho(Box::new(answered(&sent[0], EstadoDespacho::Recepcionado, 3_600))),
        Record::Despacho(Box::new(answered(&sent[1], EstadoDespacho::Observado, 40))),
        Record::Recepcion(Box::new(closed)),
    ];
    for record in &changed {
        store.commit(change(record.clone(), vec![])).await.unwrap();
        let place = records.iter_mut().find(|known| known.id() == record.id()).unwrap();
        *place = record.clone();
    }
    // A change in which nothing counts otherwise.
    let Record::Despacho(same) = &changed[0] else { unreachable!() };
    let same = Despacho { version: 3, asunto: "otro".into(), ..(**same).clone() };
    store.commit(change(Record::Despacho(Box::new(same)), vec![])).await.unwrap();

    // The last day of all is not asked for.
    let asked: Vec<Record> = records.iter().filter(|record| record.id() != sent[4].id).cloned().collect();
    for (kind, by_counterpart) in
        [(Kind::Despachos, false), (Kind::Despachos, true), (Kind::Recepciones, false), (Kind::Recepciones, true)]
    {
        let found = lines(&*store, &ruc(1), kind, by_counterpart).await;
        assert_eq!(found, counted(&asked, kind, by_counterpart), "{kind:?} {by_counterpart}");
        assert!(!found.is_empty());
    }
    let days = lines(&*store, &ruc(1), Kind::Despachos, false).await;
    assert_eq!(days.len(), 3);
    assert_eq!(days[0].counts.despachos(EstadoDespacho::Recepcionado), 1);
    assert_eq!(days[0].counts.spans().count(), 2);
    assert_eq!(beginning_of(days[0].day + 1), beginning_of(days[1].day));
    assert_eq!(lines(&*store, &ruc(9), Kind::Despachos, false).await, []);
}
