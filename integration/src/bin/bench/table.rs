//! Collecting times and printing what they say.

use crate::timer::Taken;

#[derive(Default)]
struct Row {
    what: String,
    who: String,
    times: Vec<f64>,
    tried: usize,
    failed: usize,
}

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

pub const FLOOR: &str = "floor";

impl Table {
    pub fn add(&mut self, what: &str, who: &str, taken: Taken, counts: bool) {
        let found = self.rows.iter().position(|row| row.what == what && row.who == who);
        let at = found.unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), who: who.to_owned(), ..Row::default() });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.tried += 1;
        match taken {
            None => row.failed += 1,
            Some(taken) if counts => row.times.push(taken),
            Some(_) => {}
        }
    }

    pub fn failures(&self) -> bool {
        self.rows.iter().any(|row| row.failed > 0 && row.who == "rt")
    }

    fn row(&self, what: &str, who: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.what == what && row.who == who)
    }

    /// Each command's times, and how many times the floor's they are.
    pub fn print_ratios(&self, verbs: &[&str]) {
        println!("\n{:<10} {:<8} {:>11} {:>11} {:>9} {:>7}", "µs", "", "median", "min", "x floor", "failed");
        for verb in verbs {
            let floor = self.row(verb, FLOOR).and_then(Row::median);
            for row in self.rows.iter().filter(|row| row.what == *verb) {
                let Some(median) = row.median() else {
                    println!("{verb:<10} {:<8} {:>41}", row.who, format!("{} of {} failed", row.failed, row.tried));
                    continue;
                };
                let ratio = floor.map_or_else(String::new, |floor| format!("{:.2}", median / floor));
                println!("{verb:<10} {:<8} {median:>11.0} {:>11.0} {ratio:>9} {:>7}", row.who, row.min(), row.failed);
            }
        }
    }

    /// What other shapes of container cost more than the plain one.
    pub fn print_differences(&self, plain: &str, shapes: &[(&str, &str)]) {
        println!("\n{:<28} {:<8} {:>9} {:>16} {:>10} {:>7}", "µs", "", "median", "more than plain", "by min", "failed");
        for (shape, told) in shapes {
            for row in self.rows.iter().filter(|row| row.what == *shape) {
                let base = self.row(plain, &row.who);
                let (Some(base), Some(median)) = (base, row.median()) else {
                    println!("{told:<28} {:<8} {:>45}", row.who, format!("{} of {} failed", row.failed, row.tried));
                    continue;
                };
                let more = median - base.median().unwrap_or_default();
                let least = row.min() - base.min();
                println!("{told:<28} {:<8} {median:>9.0} {more:>16.0} {least:>10.0} {:>7}", row.who, row.failed);
            }
        }
    }
}

impl Row {
    fn median(&self) -> Option<f64> {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    }

    fn min(&self) -> f64 {
        self.times.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
