//! Which jobs are due: one queue per destination, so that one that is dead or slow holds up only itself; in each, the hosted
//! entities take turns, so that one that sends much delays nobody else. In memory, filled from the index at start: pending work
//! is small, and claiming must cost nothing. Leases are here too and nowhere else: a restart frees them, and a job's next step
//! asks before it repeats.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use super::{Claim, Job, JobKind, Stage, Standing};
use crate::domain::{Id, Ruc};

#[derive(Debug, Default)]
pub struct Queue {
    /// In the order of their RUC, so that claiming can go round.
    destinos: BTreeMap<Ruc, Destino>,
    /// Where each job stands.
    places: HashMap<Id, Place>,
    /// Jobs given up, which nobody claims: their kind and when they were made.
    dead: HashMap<Id, (JobKind, Timestamp)>,
    /// The hosted entity and the destination served last: the next rounds begin behind them.
    entidad_served: Option<Ruc>,
    destino_served: Option<Ruc>,
}

/// The jobs of one hosted entity that are due at one destination, by age.
type Due = BTreeSet<(Timestamp, Id)>;

#[derive(Debug, Clone)]
struct Place {
    destino: Ruc,
    entidad: Ruc,
    /// Jobs of a destination go out in the order in which they were made.
    creado_en: Timestamp,
    proximo_en: Timestamp,
    intentos: u32,
    kind: JobKind,
}

/// The jobs of one destination. A job is in exactly one of the three.
#[derive(Debug, Default)]
struct Destino {
    /// Not due yet, by time.
    waiting: BTreeSet<(Timestamp, Id)>,
    /// Due, by hosted entity. No set is empty.
    due: BTreeMap<Ruc, Due>,
    /// Claimed, with the end of the lease by the clock that nobody sets.
    leased: BTreeMap<Id, Duration>,
}

impl Queue {
    /// Adds or replaces a job; one that is dead leaves the queue. One that is replaced under its lease stays under it: whoever
    /// holds it is still at work, and a second worker must not begin the same job beside it.
    pub fn put(&mut self, job: &Job) {
        let lease = self.lease(job.id);
        self.remove(job.id);
        if job.muerto_en.is_some() {
            self.dead.insert(job.id, (job.kind, job.creado_en));
            return;
        }
        let destino = self.destinos.entry(job.destino.clone()).or_default();
        match lease {
            Some(until) => {
                destino.leased.insert(job.id, until);
            }
            None => {
                destino.waiting.insert((job.proximo_en, job.id));
            }
        }
        let place = Place {
            destino: job.destino.clone(),
            entidad: job.entidad.clone(),
            creado_en: job.creado_en,
            proximo_en: job.proximo_en,
            intentos: job.intentos,
            kind: job.kind,
        };
        self.places.insert(job.id, place);
    }

    /// A queue without jobs in which the turns go on from this one's.
    pub fn emptied(&self) -> Self {
        let (entidad_served, destino_served) = (self.entidad_served.clone(), self.destino_served.clone());
        Self { entidad_served, destino_served, ..Self::default() }
    }

    /// Puts a job under lease that somebody holds already.
    pub fn hold(&mut self, id: Id, until: Duration) {
        let Some(place) = self.places.get(&id) else { return };
        let Some(destino) = self.destinos.get_mut(&place.destino) else { return };
        destino.forget(id, place);
        destino.leased.insert(id, until);
    }

    /// Makes a job due, whatever its time.
    pub fn wake_one(&mut self, id: Id) {
        let Some(place) = self.places.get(&id) else { return };
        let Some(destino) = self.destinos.get_mut(&place.destino) else { return };
        destino.forget(id, place);
        destino.make_due(id, place);
    }

    /// Until when a job is under lease.
    fn lease(&self, id: Id) -> Option<Duration> {
        let place = self.places.get(&id)?;
        self.destinos.get(&place.destino)?.leased.get(&id).copied()
    }

    /// Takes a job out for good.
    pub fn remove(&mut self, id: Id) {
        self.dead.remove(&id);
        let Some(place) = self.places.remove(&id) else { return };
        let Some(destino) = self.destinos.get_mut(&place.destino) else { return };
        destino.forget(id, &place);
        if destino.is_empty() {
            self.destinos.remove(&place.destino);
        }
    }

    /// Claims jobs, one of each hosted entity in turn and of each of its destinations in turn, and tells when the next could be
    /// claimed.
    pub fn claim(&mut self, claim: &Claim) -> (Vec<Id>, Option<Timestamp>) {
        for destino in self.destinos.values_mut() {
            destino.settle(claim, &self.places);
        }
        let mut claimed = Vec::new();
        let mut turns = self.turns();
        while claimed.len() < claim.limit
            && let Some((entidad, mut destinos)) = turns.pop_front()
        {
            while let Some(ruc) = destinos.pop_front() {
                let Some(id) = self.take(&ruc, &entidad, claim) else { continue };
                claimed.push(id);
                destinos.push_back(ruc.clone());
                self.destino_served = Some(ruc);
                self.entidad_served = Some(entidad.clone());
                turns.push_back((entidad, destinos));
                break;
            }
        }
        let next = self.destinos.iter().filter_map(|(ruc, destino)| destino.next(claim.allowed(ruc), claim)).min();
        (claimed, next)
    }

    /// What a destination allows of one entity's jobs.
    fn take(&mut self, ruc: &Ruc, entidad: &Ruc, claim: &Claim) -> Option<Id> {
        let until = claim.uptime.saturating_add(claim.lease);
        let destino = self.destinos.get_mut(ruc)?;
        if destino.leased.len() >= claim.allowed(ruc) {
            return None;
        }
        let id = if claim.in_doubt.contains(ruc) {
            destino.least_tried(&self.places)?
        } else {
            destino.due.get(entidad)?.first()?.1
        };
        destino.forget(id, self.places.get(&id)?);
        destino.leased.insert(id, until);
        Some(id)
    }

    /// Gives a lease back: the job can be claimed when its time has come.
    pub fn release(&mut self, id: Id) {
        let Some(place) = self.places.get(&id) else { return };
        let Some(destino) = self.destinos.get_mut(&place.destino) else { return };
        if destino.leased.remove(&id).is_some() {
            destino.waiting.insert((place.proximo_en, id));
        }
    }

    /// Makes all that waits for another attempt due: at one destination, or at all.
    pub fn wake(&mut self, destino: Option<&Ruc>) {
        // Questions for a cargo wait for a day that was chosen, not for a destination to come back.
        let retries = |id: &Id| self.places.get(id).filter(|p| p.kind != JobKind::PreguntarCargo);
        let woken = self.destinos.iter_mut().filter(|(ruc, _)| destino.is_none_or(|wanted| wanted == *ruc));
        for (_, destino) in woken {
            for (at, id) in std::mem::take(&mut destino.waiting) {
                match retries(&id) {
                    Some(place) => destino.make_due(id, place),
                    None => drop(destino.waiting.insert((at, id))),
                }
            }
        }
    }

    /// How many jobs there are of each kind and stage, and of when the oldest is.
    pub fn standing(&self) -> Vec<Standing> {
        let leased =
            |id: &Id, place: &Place| self.destinos.get(&place.destino).is_some_and(|d| d.leased.contains_key(id));
        let live = self.places.iter().map(|(id, place)| {
            let stage = match place.intentos {
                _ if leased(id, place) => Stage::UnderWay,
                0 => Stage::New,
                _ => Stage::Waiting,
            };
            (place.kind, stage, place.creado_en)
        });
        let dead = self.dead.values().map(|(kind, made)| (*kind, Stage::Dead, *made));
        let mut counts: BTreeMap<(JobKind, Stage), (u64, Timestamp)> = BTreeMap::new();
        for (kind, stage, made) in live.chain(dead) {
            let (jobs, oldest) = counts.entry((kind, stage)).or_insert((0, made));
            *jobs += 1;
            *oldest = made.min(*oldest);
        }
        let standing = |((kind, stage), (jobs, oldest))| Standing { kind, stage, jobs, oldest };
        counts.into_iter().map(standing).collect()
    }

    /// Whose turn it is, beginning behind who was served last: the entities that have jobs due, and where.
    fn turns(&self) -> VecDeque<(Ruc, VecDeque<Ruc>)> {
        let mut lanes: BTreeMap<&Ruc, VecDeque<Ruc>> = BTreeMap::new();
        let behind = |ruc: &Ruc| self.destino_served.as_ref().is_some_and(|served| ruc > served);
        let (first, last): (Vec<_>, Vec<_>) = self.destinos.iter().partition(|(ruc, _)| behind(ruc));
        for (ruc, destino) in first.into_iter().chain(last) {
            for entidad in destino.due.keys() {
                lanes.entry(entidad).or_default().push_back(ruc.clone());
            }
        }
        let behind = |ruc: &Ruc| self.entidad_served.as_ref().is_some_and(|served| ruc > served);
        let (first, last): (Vec<_>, Vec<_>) = lanes.into_iter().partition(|(entidad, _)| behind(entidad));
        first.into_iter().chain(last).map(|(entidad, destinos)| (entidad.clone(), destinos)).collect()
    }
}

impl Destino {
    /// Moves what has become due, and what a lease held for too long.
    fn settle(&mut self, claim: &Claim, places: &HashMap<Id, Place>) {
        let now = claim.now;
        let expired: Vec<Id> =
            self.leased.iter().filter(|(_, until)| **until <= claim.uptime).map(|(id, _)| *id).collect();
        for id in expired {
            self.leased.remove(&id);
            // It may have been replaced by one that is due later.
            let due = places.get(&id).map_or(now, |place| place.proximo_en);
            self.waiting.insert((due, id));
        }
        while let Some((at, id)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            if let Some(place) = places.get(&id) {
                self.make_due(id, place);
            }
        }
        let latest = now.checked_add(claim.wait_max).unwrap_or(Timestamp::MAX);
        while let Some((at, id)) = self.waiting.last().copied()
            && at > latest
        {
            self.waiting.pop_last();
            if let Some(place) = places.get(&id) {
                self.make_due(id, place);
            }
        }
    }

    fn make_due(&mut self, id: Id, place: &Place) {
        self.due.entry(place.entidad.clone()).or_default().insert((place.creado_en, id));
    }

    /// The one that was tried least, the oldest of these, whoever sends it: where the destination is in doubt, a document that
    /// fails whatever its neighbours do must not be the one that speaks for all.
    fn least_tried(&self, places: &HashMap<Id, Place>) -> Option<Id> {
        let tries = |id: &Id| places.get(id).map_or(u32::MAX, |place| place.intentos);
        self.due.values().flatten().min_by_key(|(made, id)| (tries(id), *made)).map(|(_, id)| *id)
    }

    /// When a job of this destination could be claimed. Of one that is not allowed any, or is at its limit, only the end of
    /// a lease is worth waking for: the end of an attempt and of a pause wake the worker by themselves.
    fn next(&self, allowed: usize, claim: &Claim) -> Option<Timestamp> {
        let now = claim.now;
        let left = self.leased.values().min().map(|until| until.saturating_sub(claim.uptime));
        let lease = left.map(|left| now.checked_add(left).unwrap_or(Timestamp::MAX));
        if self.leased.len() >= allowed {
            return lease;
        }
        let due = (!self.due.is_empty()).then_some(now);
        let waiting = self.waiting.first().map(|(at, _)| *at);
        [due, waiting, lease].into_iter().flatten().min()
    }

    fn forget(&mut self, id: Id, place: &Place) {
        self.waiting.remove(&(place.proximo_en, id));
        if let Some(due) = self.due.get_mut(&place.entidad) {
            due.remove(&(place.creado_en, id));
            if due.is_empty() {
                self.due.remove(&place.entidad);
            }
        }
        self.leased.remove(&id);
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.due.is_empty() && self.leased.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const RUCS: [&str; 3] = ["10000000001", "20000000001", "30000000001"];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn ruc(n: usize) -> Ruc {
        Ruc::de_contraparte(RUCS[n]).unwrap()
    }

    fn job(n: u128, destino: usize, due: i64) -> Job {
        Job {
            id: Id::from_u128(n),
            kind: JobKind::Despachar,
            sujeto: Id::from_u128(n),
            entidad: ruc(0),
            destino: ruc(destino),
            creado_en: at(i64::try_from(n).unwrap()),
            proximo_en: at(due),
            intentos: 0,
            falla: None,
            ultimo_error: None,
            muerto_en: None,
        }
    }

    fn claim(limit: usize, concurrency: usize) -> Claim {
        let (lease, wait_max) = (Duration::from_secs(60), Duration::from_secs(1_000));
        let (exceptions, in_doubt) = (HashMap::new(), HashSet::new());
        let uptime = Duration::from_secs(100);
        Claim { now: at(100), uptime, lease, wait_max, limit, concurrency, exceptions, in_doubt }
    }

    fn ids(queue: &mut Queue, claim: &Claim) -> Vec<u128> {
        queue.claim(claim).0.into_iter().map(|id| id.as_u128()).collect()
    }

    fn filled(jobs: impl IntoIterator<Item = Job>) -> Queue {
        let mut queue = Queue::default();
        jobs.into_iter().for_each(|job| queue.put(&job));
        queue
    }

    #[test]
    fn each_destination_is_served_in_turn_and_in_order_of_age() {
        let mut queue = filled([job(1, 0, 9), job(2, 0, 1), job(3, 0, 1), job(4, 1, 50), job(5, 2, 50)]);
        assert_eq!(ids(&mut queue, &claim(4, 10)), [1, 4, 5, 2]);
        queue.put(&job(6, 1, 0));
        assert_eq!(ids(&mut queue, &claim(1, 10)), [6], "the round goes on behind the one served last");
        assert_eq!(ids(&mut queue, &claim(9, 10)), [3]);
    }

    #[test]
    fn an_entity_that_sends_much_delays_no_other_at_the_same_destination_or_elsewhere() {
        let of = |n, entidad, destino| Job { entidad: ruc(entidad), ..job(n, destino, 0) };
        // The first entity floods two destinations; the second has two documents, made last, for the first of them.
        let flood = (1..=50).map(|n| of(n, 0, if n % 2 == 0 { 0 } else { 2 }));
        let mut queue = filled(flood.chain([of(98, 1, 0), of(99, 1, 0)]));
        assert_eq!(ids(&mut queue, &claim(4, 10)), [2, 98, 1, 99]);
        assert_eq!(ids(&mut queue, &claim(3, 10)), [3, 4, 5], "what nobody else needs is the flood's");
        queue.put(&of(97, 1, 0));
        assert_eq!(ids(&mut queue, &claim(1, 3)), [0; 0], "a destination's limit holds for all together");
        queue.remove(Id::from_u128(2));
        queue.remove(Id::from_u128(4));
        assert_eq!(ids(&mut queue, &claim(1, 3)), [97], "and who was not served last has what becomes free");
    }

    #[test]
    fn a_destination_gets_no_more_than_its_share() {
        let mut queue = filled((1..=5).map(|n| job(n, 0, 0)));
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1, 2]);
        assert_eq!(ids(&mut queue, &claim(9, 2)), [0; 0]);
        queue.remove(Id::from_u128(1));
        assert_eq!(ids(&mut queue, &claim(9, 2)), [3]);
        let mut closed = claim(9, 2);
        closed.exceptions.insert(ruc(0), 0);
        queue.remove(Id::from_u128(2));
        queue.remove(Id::from_u128(3));
        assert_eq!(ids(&mut queue, &closed), [0; 0]);
        assert_eq!(queue.claim(&closed).1, None, "one left alone gives no time to wake for");
    }

    #[test]
    fn what_is_not_due_waits_and_says_until_when() {
        let mut queue = filled([job(1, 0, 130), job(2, 1, 120)]);
        assert_eq!(queue.claim(&claim(9, 2)), (vec![], Some(at(120))));
        queue.wake(Some(&ruc(0)));
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1]);
    }

    #[test]
    fn a_lease_that_ran_out_or_was_given_back_frees_the_job() {
        let mut queue = filled([job(1, 0, 0)]);
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1]);
        let later = Claim { now: at(161), uptime: Duration::from_secs(161), ..claim(9, 2) };
        assert_eq!(ids(&mut queue, &later), [1]);
        queue.release(Id::from_u128(1));
        assert_eq!(ids(&mut queue, &later), [1]);
    }

    #[test]
    fn a_job_replaced_under_its_lease_stays_under_it_until_it_is_given_back() {
        let mut queue = filled([job(1, 0, 0)]);
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1]);
        queue.put(&Job { proximo_en: at(5), ..job(1, 0, 0) });
        assert_eq!(ids(&mut queue, &claim(9, 2)), [0; 0], "its worker is still at it");
        queue.release(Id::from_u128(1));
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1]);
        queue.put(&Job { proximo_en: at(500), ..job(1, 0, 0) });
        let expired = Claim { now: at(161), uptime: Duration::from_secs(161), ..claim(9, 2) };
        assert_eq!(ids(&mut queue, &expired), [0; 0], "its time has not come");
        assert_eq!(queue.claim(&expired).1, Some(at(500)));
    }

    #[test]
    fn a_destination_in_doubt_is_tried_with_the_job_that_was_tried_least() {
        let tried = |n, times| Job { intentos: times, ..job(n, 0, 0) };
        let mut queue = filled([tried(1, 7), tried(2, 3), tried(3, 3), tried(4, 4)]);
        let mut doubt = claim(9, 2);
        doubt.exceptions.insert(ruc(0), 1);
        doubt.in_doubt.insert(ruc(0));
        assert_eq!(ids(&mut queue, &doubt), [2]);
        queue.remove(Id::from_u128(2));
        assert_eq!(ids(&mut queue, &doubt), [3]);
        queue.remove(Id::from_u128(3));
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1, 4], "and by age once it works");
    }

    #[test]
    fn a_clock_that_is_set_ends_no_lease_and_makes_nothing_wait_for_ever() {
        let mut queue = filled([job(1, 0, 0), job(2, 1, 900), job(3, 2, 1_101)]);
        assert_eq!(ids(&mut queue, &claim(9, 2)), [1, 3], "the last one's time was given by another clock");
        let forward = Claim { now: at(100_000), uptime: Duration::from_secs(101), ..claim(9, 2) };
        assert_eq!(ids(&mut queue, &forward), [2], "whoever holds the others is still at work");
        queue.put(&job(4, 1, 900));
        let back = Claim { now: at(-100_000), uptime: Duration::from_secs(159), ..claim(9, 2) };
        assert_eq!(queue.claim(&back), (vec![Id::from_u128(4)], Some(at(-99_999))));
        let over = Claim { uptime: Duration::from_secs(160), ..back };
        let mut freed = ids(&mut queue, &over);
        freed.sort_unstable();
        assert_eq!(freed, [1, 3], "a lease lasts as long as it lasts");
    }

    #[test]
    fn the_queues_are_counted_by_kind_and_stage_with_the_oldest_of_each() {
        let dead = Job { muerto_en: Some(at(1)), ..job(4, 1, 0) };
        let tried = Job { intentos: 2, ..job(3, 1, 500) };
        let asking = Job { kind: JobKind::PreguntarCargo, ..job(6, 1, 500) };
        let mut queue = filled([job(1, 0, 0), job(2, 0, 500), tried, dead.clone(), job(5, 1, 500), asking]);
        assert_eq!(ids(&mut queue, &claim(1, 1)), [1]);
        let counted = |queue: &Queue| -> Vec<_> {
            queue.standing().into_iter().map(|s| (s.kind, s.stage, s.jobs, s.oldest)).collect()
        };
        let despachar = JobKind::Despachar;
        let mut expected = vec![
            (despachar, Stage::New, 2, at(2)),
            (despachar, Stage::Waiting, 1, at(3)),
            (despachar, Stage::UnderWay, 1, at(1)),
            (despachar, Stage::Dead, 1, at(4)),
            (JobKind::PreguntarCargo, Stage::New, 1, at(6)),
        ];
        assert_eq!(counted(&queue), expected);
        queue.put(&Job { muerto_en: None, ..dead });
        expected.remove(3);
        expected[0].2 = 3;
        assert_eq!(counted(&queue), expected, "one that a person retries is not dead any more");
    }

    #[test]
    fn replaced_dead_and_finished_jobs_leave_nothing_behind() {
        let mut queue = filled([job(1, 0, 0), job(2, 1, 0)]);
        queue.put(&Job { proximo_en: at(150), ..job(1, 0, 0) });
        queue.put(&Job { muerto_en: Some(at(1)), ..job(2, 1, 0) });
        assert_eq!(queue.claim(&claim(9, 2)), (vec![], Some(at(150))));
        queue.remove(Id::from_u128(1));
        assert!(queue.destinos.is_empty() && queue.places.is_empty());
    }
}
