//! Business days and the formal date of presentation (CONTRACT §9).

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
};

use super::lima;

/// Fixed national holidays, month and day (Decreto Legislativo 713 and its amendments up to 2023).
const FIJOS: [(i8, i8); 14] = [
    (1, 1),   // Año Nuevo
    (5, 1),   // Día del Trabajo
    (6, 7),   // Batalla de Arica y Día de la Bandera
    (6, 29),  // San Pedro y San Pablo
    (7, 23),  // Día de la Fuerza Aérea
    (7, 28),  // Fiestas Patrias
    (7, 29),  // Fiestas Patrias
    (8, 6),   // Batalla de Junín
    (8, 30),  // Santa Rosa de Lima
    (10, 8),  // Combate de Angamos
    (11, 1),  // Todos los Santos
    (12, 8),  // Inmaculada Concepción
    (12, 9),  // Batalla de Ayacucho
    (12, 25), // Navidad
];

/// The national calendar and the days the configuration adds (regional holidays, days declared non-working).
#[derive(Debug, Clone, Default)]
pub struct Calendario {
    pub feriados: Vec<Date>,
    /// Business days, from the one of presentation, in which a received document is to be answered; `None`: no term.
    pub plazo_dias: Option<u32>,
}

impl Calendario {
    pub fn es_habil(&self, day: Date) -> bool {
        let fixed = FIJOS.contains(&(day.month(), day.day()));
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        !weekend && !fixed && !es_jueves_o_viernes_santo(day) && !self.feriados.contains(&day)
    }

    /// The `n`-th business day after this one, which does not count.
    pub fn habil_tras(&self, day: Date, n: u32) -> Date {
        let (mut day, mut left) = (day, n);
        // Holidays are few; the bound keeps a wrong configuration from looping for ever.
        for _ in 0..u64::from(n).saturating_mul(7).saturating_add(366) {
            if left == 0 {
                break;
            }
            day = siguiente(day);
            left -= u32::from(self.es_habil(day));
        }
        day
    }

    /// The last day to answer what was presented on this one.
    pub fn plazo(&self, presentado: Date) -> Option<Date> {
        self.plazo_dias.map(|days| self.habil_tras(presentado, days))
    }

    /// The last business day of presentation whose term ends before `limit`.
    pub fn con_plazo_antes_de(&self, limit: Date) -> Option<Date> {
        let days = self.plazo_dias?;
        let mut day = limit;
        for _ in 0..u64::from(days).saturating_mul(7).saturating_add(366) {
            if self.es_habil(day) && self.habil_tras(day, days) < limit {
                return Some(day);
            }
            day = day.checked_sub(1.day()).ok()?;
        }
        None
    }

    /// The business day on which an arrival counts as presented: the same day if it is one and the arrival is not after
    /// `cierre`, the end of the reception hours; else the next.
    pub fn presentacion(&self, arrival: Timestamp, cierre: Time) -> Date {
        let local = lima::en_lima(arrival).datetime();
        let mut day = local.date();
        if local.time() > cierre {
            day = siguiente(day);
        }
        // No stretch of holidays is near a year long; the bound keeps a wrong configuration from looping for ever.
        for _ in 0..366 {
            if self.es_habil(day) {
                break;
            }
            day = siguiente(day);
        }
        day
    }
}

fn siguiente(day: Date) -> Date {
    day.checked_add(1.day()).unwrap_or(day)
}

fn es_jueves_o_viernes_santo(day: Date) -> bool {
    let easter = pascua(day.year());
    [2, 3].iter().any(|n| easter.checked_sub(n.days()).is_ok_and(|d| d == day))
}

/// Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher).
fn pascua(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let month = (h + l - 7 * m + 114) / 31;
    let day = (h + l - 7 * m + 114) % 31 + 1;
    Date::new(year, i8::try_from(month).unwrap_or(4), i8::try_from(day).unwrap_or(1)).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    fn presentado(text: &str) -> Date {
        Calendario::default().presentacion(lima::leer(text).unwrap(), time(16, 30, 0, 0))
    }

    #[test]
    fn easter_falls_where_the_almanac_says() {
        for (year, month, day) in [(2024, 3, 31), (2025, 4, 20), (2026, 4, 5), (2027, 3, 28), (2038, 4, 25)] {
            assert_eq!(pascua(year), date(year, month, day));
        }
    }

    #[test]
    fn within_hours_it_is_the_same_day() {
        assert_eq!(presentado("2026-11-20T00:00:00"), date(2026, 11, 20));
        assert_eq!(presentado("2026-11-20T16:30:00"), date(2026, 11, 20));
    }

    #[test]
    fn after_hours_weekends_and_holidays_go_to_the_next_business_day() {
        assert_eq!(presentado("2026-11-20T16:30:01"), date(2026, 11, 23)); // Friday evening
        assert_eq!(presentado("2026-04-01T18:00:00"), date(2026, 4, 6)); // eve of Holy Thursday
        assert_eq!(presentado("2026-12-07T20:00:00"), date(2026, 12, 10)); // 8 and 9 are holidays
        assert_eq!(presentado("2026-12-31T23:59:59"), date(2027, 1, 4));
    }

    #[test]
    fn business_days_are_counted_over_weekends_and_holidays() {
        let calendario = Calendario::default();
        assert_eq!(calendario.habil_tras(date(2026, 11, 26), 2), date(2026, 11, 30)); // Thursday
        assert_eq!(calendario.habil_tras(date(2026, 11, 22), 2), date(2026, 11, 24)); // Sunday
        assert_eq!(calendario.habil_tras(date(2026, 12, 4), 2), date(2026, 12, 10)); // 8 and 9 are holidays
        assert_eq!(calendario.habil_tras(date(2026, 12, 4), 0), date(2026, 12, 4));
    }

    #[test]
    fn the_configuration_adds_days() {
        let calendario = Calendario { feriados: vec![date(2026, 11, 23)], plazo_dias: None };
        let arrival = lima::leer("2026-11-23T09:00:00").unwrap();
        assert_eq!(calendario.presentacion(arrival, time(16, 30, 0, 0)), date(2026, 11, 24));
    }

    #[test]
    fn a_term_is_counted_in_business_days_and_what_is_overdue_is_found_back_from_a_day() {
        let calendario = Calendario { feriados: vec![date(2026, 11, 23)], plazo_dias: Some(2) };
        // Friday; Monday is a holiday of the configuration.
        assert_eq!(calendario.plazo(date(2026, 11, 20)), Some(date(2026, 11, 25)));
        for limit in [date(2026, 11, 22), date(2026, 11, 25), date(2026, 11, 26), date(2026, 12, 9)] {
            let last = calendario.con_plazo_antes_de(limit).unwrap();
            assert!(calendario.plazo(last).unwrap() < limit, "{limit}");
            assert!(calendario.plazo(calendario.habil_tras(last, 1)).unwrap() >= limit, "{limit}");
        }
        assert_eq!(Calendario::default().plazo(date(2026, 11, 20)), None);
        assert_eq!(Calendario::default().con_plazo_antes_de(date(2026, 11, 20)), None);
    }
}
