//! What breakers do and what is told of them, with times given.

use super::*;

const TOOK: Duration = Duration::from_millis(20);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn ruc() -> Ruc {
    Ruc::de_contraparte("20537630222").unwrap()
}

/// Of one document after another, as an ordinary queue has them.
fn doc(n: i64) -> Id {
    Id::from_u128(u128::from(n.unsigned_abs()))
}

fn failed() -> Outcome {
    Outcome::Failed("sin respuesta".into())
}

fn health() -> Health {
    Health::new(BreakerPolicy { failures: 3, ..BreakerPolicy::default() })
}

fn limit(health: &Health, second: i64) -> Option<usize> {
    health.allowance(at(second)).exceptions.get(&ruc()).copied()
}

#[test]
fn a_destination_that_keeps_failing_is_left_alone_and_probed_by_one_job() {
    let health = health();
    health.record(&ruc(), doc(0), failed(), TOOK, at(0));
    assert_eq!(limit(&health, 0), Some(1), "it already gets one job at a time");
    health.record(&ruc(), doc(1), failed(), TOOK, at(1));
    health.record(&ruc(), doc(2), failed(), TOOK, at(2));
    assert_eq!(limit(&health, 2), Some(0));
    assert_eq!(health.allowance(at(2)).reopens, Some(at(32)));
    assert_eq!(limit(&health, 32), Some(1), "one probe");
    assert_eq!(health.salud(&ruc(), at(32)).unwrap().circuito, Circuito::Probando);
}

#[test]
fn pauses_double_with_failed_probes_up_to_the_longest() {
    let health = health();
    (0..3).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n));
    });
    let mut now = 32;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        health.record(&ruc(), doc(now), failed(), TOOK, at(now));
        let reopens = health.allowance(at(now)).reopens.unwrap();
        pauses.push(reopens.as_second() - at(now).as_second());
        now = reopens.as_second() - at(0).as_second();
    }
    assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
}

#[test]
fn one_answer_closes_it_again_and_says_so() {
    let health = health();
    (0..3).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n));
    });
    assert!(health.record(&ruc(), doc(40), Outcome::Answered, TOOK, at(40)));
    assert_eq!(limit(&health, 40), Some(1), "what waited goes out in line");
    health.took(&ruc(), &ruc(), at(39));
    assert_eq!(limit(&health, 40), Some(1));
    health.took(&ruc(), &ruc(), at(41));
    assert_eq!(limit(&health, 40), None);
    assert!(!health.record(&ruc(), doc(41), Outcome::Answered, TOOK, at(41)));
    let salud = health.salud(&ruc(), at(41)).unwrap();
    assert_eq!((salud.circuito, salud.caida_desde, salud.p95_ms), (Circuito::Cerrado, None, Some(20)));
}

#[test]
fn an_unreachable_platform_stops_everything_and_blames_no_destination() {
    let health = health();
    (0..3).for_each(|n| {
        health.record_pide(failed(), TOOK, at(n));
    });
    let allowance = health.allowance(at(3));
    assert_eq!((allowance.total, allowance.exceptions.len()), (Some(0), 0));
    assert_eq!(health.allowance(at(40)).total, Some(1), "one probe");
    assert!(health.record_pide(Outcome::Answered, TOOK, at(40)));
    assert_eq!(health.allowance(at(40)).total, None);
}

#[test]
fn late_failures_of_jobs_begun_before_the_pause_don_t_lengthen_it() {
    let health = health();
    (0..3).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n));
    });
    health.record(&ruc(), doc(10), failed(), TOOK, at(10));
    assert_eq!(health.allowance(at(10)).reopens, Some(at(32)));
}

#[test]
fn people_are_told_once_of_one_that_is_down_for_long_and_once_when_it_works_again() {
    let (health, after) = (health(), Duration::from_secs(60));
    (0..4).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n));
    });
    assert_eq!(health.avisos(after, at(59)), []);
    let told = health.avisos(after, at(60));
    assert_eq!((told.len(), &told[0].ruc, told[0].desde, told[0].vuelve), (1, &Some(ruc()), at(0), false));
    health.avisado(&told[0]);
    assert_eq!(health.avisos(after, at(600)), []);
    health.record(&ruc(), doc(9), Outcome::Answered, TOOK, at(700));
    let told = health.avisos(after, at(700));
    assert_eq!((told.len(), told[0].vuelve, told[0].desde), (1, true, at(0)));
    health.avisado(&told[0]);
    assert_eq!(health.avisos(after, at(701)), []);
}

#[test]
fn one_document_that_always_fails_does_not_close_the_way_for_its_neighbours() {
    let health = health();
    for n in 0..50 {
        health.record(&ruc(), doc(1), failed(), TOOK, at(n));
    }
    assert_eq!(limit(&health, 50), Some(1), "others still go, one at a time");
    health.record(&ruc(), doc(2), failed(), TOOK, at(51));
    assert_eq!(limit(&health, 51), Some(0), "two documents: it is the destination");
}

#[test]
fn an_error_in_answer_to_a_document_charges_the_destination_only_when_many_meet_it() {
    let health = health();
    for n in 0..50 {
        health.record(&ruc(), doc(n % 2), Outcome::Declined, TOOK, at(n));
    }
    assert_eq!(limit(&health, 50), None, "two documents, however often");
    assert_eq!(health.salud(&ruc(), at(50)).unwrap().caida_desde, None);
    health.record(&ruc(), doc(7), Outcome::Declined, TOOK, at(51));
    assert_eq!(limit(&health, 51), Some(0), "three in a row: its service is down, as the platform says it");
    assert!(health.in_doubt(&ruc()));
    assert!(health.record(&ruc(), doc(8), Outcome::Answered, TOOK, at(90)));
    assert!(!health.in_doubt(&ruc()));
}

#[test]
fn one_that_always_answers_with_an_error_does_not_look_healthy_and_people_are_told() {
    let (health, after) = (health(), Duration::from_secs(60));
    for n in 0..4 {
        health.record(&ruc(), doc(1), Outcome::Declined, TOOK, at(n * 30));
    }
    let salud = health.salud(&ruc(), at(90)).unwrap();
    assert_eq!((salud.estado, salud.circuito), (Estado::ConErrores, Circuito::Cerrado));
    assert_eq!((salud.errores_desde, salud.caida_desde), (Some(at(0)), None));
    let told = health.avisos(after, at(90));
    assert_eq!((told.len(), told[0].con_errores, told[0].desde), (1, true, at(0)));
    health.avisado(&told[0]);
    health.record(&ruc(), doc(2), Outcome::Answered, TOOK, at(99));
    assert_eq!(health.salud(&ruc(), at(99)).unwrap().estado, Estado::Bien);
    assert!(health.avisos(after, at(99))[0].vuelve);
}

#[test]
fn what_an_earlier_process_told_is_not_told_again_and_its_end_is() {
    let (before, after) = (health(), Duration::from_secs(60));
    (0..3).for_each(|n| {
        before.record(&ruc(), doc(n), failed(), TOOK, at(n));
        before.record_pide(failed(), TOOK, at(n));
    });
    let told = before.avisos(after, at(100));
    assert_eq!(told.len(), 2);
    before.avisado(&told[0]);
    let stored = before.vigentes(&told[1]);
    assert_eq!(stored, [(None, at(0)), (Some(ruc()), at(0))]);

    let health = self::health();
    health.recuerda(stored);
    assert_eq!(health.avisos(after, at(200)), []);
    assert_eq!(health.plataforma(at(200)).estado, Estado::NoResponde);
    assert_eq!(health.allowance(at(200)), Allowance { concurrency: 4, ..Allowance::default() }, "all is tried again");
    health.record(&ruc(), doc(9), failed(), TOOK, at(201));
    assert_eq!(health.avisos(after, at(900)), [], "still the same outage");
    health.record(&ruc(), doc(9), Outcome::Answered, TOOK, at(901));
    let told = health.avisos(after, at(901));
    assert_eq!((told.len(), told[0].vuelve, told[0].desde), (1, true, at(0)));
    assert_eq!(health.vigentes(&told[0]), [(None, at(0))]);
}

#[test]
fn a_sign_of_life_ends_what_was_told_and_not_the_pause() {
    let (health, after) = (health(), Duration::from_secs(10));
    (0..3).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n));
    });
    health.avisado(&health.avisos(after, at(12))[0]);
    health.dio_senales(&ruc(), at(13));
    assert!(health.avisos(after, at(13))[0].vuelve);
    assert_eq!(limit(&health, 13), Some(0), "whether it takes documents is still to be seen");
    assert_eq!(health.salud(&ruc(), at(13)).unwrap().estado, Estado::ConErrores);
    assert_eq!(health.salud(&ruc(), at(40)).unwrap().estado, Estado::Bien);
}

#[test]
fn a_clock_that_was_set_back_leaves_nobody_alone_for_longer_than_a_pause() {
    let health = health();
    (0..3).for_each(|n| {
        health.record(&ruc(), doc(n), failed(), TOOK, at(n + 1_000_000));
        health.record_pide(failed(), TOOK, at(n + 1_000_000));
    });
    let pause = i64::try_from(BreakerPolicy::default().pause_max.as_secs()).unwrap();
    assert_eq!(health.allowance(at(0)).reopens, Some(at(pause)));
    assert_eq!((health.allowance(at(pause)).total, limit(&health, pause)), (Some(1), Some(1)), "both are probed");
}
