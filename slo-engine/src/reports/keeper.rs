//! The keeper seals the months that are over, once and for ever, and puts their files where they belong.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use archive::{DirectoryStore, Store as Shelf, StoreError as ShelfError, sha256_hex};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use slo::counts::MinuteId;
use slo::window;

use super::material::Material;
use super::{Report, minute, report};
use crate::config::{ArchiveConfig, ReportsConfig};
use crate::counts::KEEP_UNMEASURED_MINUTES;
use crate::engine::Engine;
use crate::figures::{Figures, SLIS};
use crate::schedule::Schedule;
use crate::seal::{self, SEAL, Seal, Sealed};
use crate::store::{self, ledger, seals};

/// How long after its end a month is sealed at the earliest: late lines have come by then.
pub const SEALS_AFTER: SignedDuration = SignedDuration::from_hours(72);

/// Months that are sealed of their own accord after they ended: what claims to be older is no month that anyone waits for.
const MONTHS_BACK: i32 = 13;

/// Seals months.
#[derive(Debug)]
pub struct Keeper {
    /// Whose months.
    pub engine: Arc<Engine>,
    /// Where the services run: part of the files' names.
    pub environment: String,
    /// When sealing is looked after.
    pub schedule: Schedule,
    /// Where the files belong, each with what messages call it.
    pub shelves: Vec<(String, Shelf)>,
}

/// What one look did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// What was said: months that were sealed, and those that were said anew.
    pub sealed: Vec<Seal>,
    /// Months whose files lie everywhere now.
    pub delivered: Vec<String>,
}

/// What became of one month.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// It was sealed, or said anew.
    Sealed(Box<Seal>),
    /// It is sealed, and its figures are the same.
    Same,
    /// It cannot be sealed, and why.
    Not(&'static str),
}

/// Why a month cannot be sealed yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{month} can be sealed from {from} on: 72 h after its end, when late lines have come")]
pub struct TooEarly {
    month: String,
    from: Timestamp,
}

impl Keeper {
    /// Opens the places that files are put in.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(
        config: ReportsConfig,
        archive: Option<&ArchiveConfig>,
        engine: Arc<Engine>,
    ) -> anyhow::Result<Self> {
        let directory = Shelf::Directory(DirectoryStore::open(&config.directory)?);
        let mut shelves = vec![(format!("the directory {}", config.directory.display()), directory)];
        if let Some(archive) = archive {
            shelves.push(("the archive".to_owned(), archive.open()?));
        }
        Ok(Self { engine, environment: config.environment, schedule: config.schedule, shelves })
    }

    /// Seals every month that is due, restates those of which something changed, and delivers what is not delivered.
    ///
    /// # Errors
    /// The store or a place for the files failed. The next look goes on where this one ended.
    pub async fn keep(&self, now: Timestamp) -> anyhow::Result<Kept> {
        let mut kept = Kept::default();
        for (month, due) in self.months(now) {
            let due = self.schedule.next_after(due - SignedDuration::from_secs(1));
            if due.is_some_and(|due| due <= now)
                && let Word::Sealed(seal) = self.say(&month, now).await?
            {
                kept.sealed.push(*seal);
            }
        }
        kept.delivered = self.deliver().await?;
        Ok(kept)
    }

    /// Seals one month by hand, whatever the schedule says.
    ///
    /// # Errors
    /// It is too early, or as [`keep`](Self::keep).
    pub async fn seal(&self, month: &str, now: Timestamp) -> anyhow::Result<(Word, Vec<String>)> {
        let year_and_month = super::parse_month(month)?;
        let from = self.engine.with_figures(|figures| ends(figures, year_and_month));
        let from = later(from);
        if now < from {
            return Err(TooEarly { month: month.to_owned(), from }.into());
        }
        let word = self.say(month, now).await?;
        Ok((word, self.deliver().await?))
    }

    /// Every month since the first count of which everything is kept, with the instant from which on it may be sealed.
    fn months(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        let months = self.engine.with_figures(|figures| {
            let first = figures.counts.first()?;
            let today = TimeZone::UTC.to_datetime(now).date();
            let oldest = today.saturating_sub(MONTHS_BACK.months());
            let first: Date = TimeZone::UTC.to_datetime(first.start()).date();
            let mut day = first.max(oldest).first_of_month();
            let mut months = Vec::new();
            while today > day {
                let month = (day.year(), day.month());
                if is_kept(figures, month) {
                    months.push((format!("{:04}-{:02}", month.0, month.1), later(ends(figures, month))));
                }
                day = day.saturating_add(1.month());
            }
            Some(months)
        });
        months.unwrap_or_default()
    }

    /// The first word on a month, or another one if late lines have changed its figures since.
    async fn say(&self, month: &str, now: Timestamp) -> anyhow::Result<Word> {
        let mut tx = self.engine.store().read().await?;
        let mut said = seals::latest(&mut tx, month).await?;
        drop(tx);
        if said.is_none() {
            said = self.adopt(month).await?;
        }
        let filled_at = self.engine.filled_at();
        let year_and_month = super::parse_month(month)?;
        let (first, kept) =
            self.engine.with_figures(|figures| (figures.counts.first(), is_kept(figures, year_and_month)));
        let ends = window::month(year_and_month.0, year_and_month.1, &TimeZone::UTC).map(|span| span.to);
        if first.is_none_or(|first| ends.is_none_or(|ends| ends <= first)) && kept {
            return Ok(Word::Not("no request was counted in it or before it"));
        }
        if !kept {
            let why = "its minutes are not kept any more; the ledger and what was sealed before have them";
            return Ok(if said.is_some() { Word::Same } else { Word::Not(why) });
        }
        let Some(material) = self.material(month).await? else {
            return Ok(Word::Not("the engine has not judged all of it yet"));
        };
        if is_known_in_part(&material, said.as_ref(), filled_at) {
            return Ok(Word::Not("the state was lost and filled again, and only a part of it came back"));
        }
        if let Some(seal) = &said {
            // Other objectives judge the months to come; those that are sealed change with the ledger alone.
            let is_unchanged = seal.ledger.of_month == material.blocks.len() as u64;
            if is_unchanged || seal.agrees(&material.report_json()?) {
                return Ok(Word::Same);
            }
        }
        let number = said.map_or(0, |seal| seal.restatement + 1);
        let sealed = material.seal(&self.environment, number, now)?;
        let mut tx = self.engine.store().begin().await?;
        seals::put(&mut tx, &sealed).await?;
        store::commit(tx).await?;
        tracing::info!(month, restatement = number, "a month is sealed");
        Ok(Word::Sealed(Box::new(sealed.seal)))
    }

    /// What a month is sealed from; nothing while some of it is not judged.
    async fn material(&self, month: &str) -> anyhow::Result<Option<Material>> {
        let report: Report = report(&self.engine, month).await?;
        let span = minute(&report.window.from).zip(minute(&report.window.to));
        let Some((from, to)) = span.filter(|_| !report.provisional) else { return Ok(None) };
        let mut tx = self.engine.store().read().await?;
        let (blocks, tip) = (ledger::blocks_between(&mut tx, from, to).await?, ledger::tip(&mut tx).await?);
        drop(tx);
        let (definitions, known_services, known_namespaces) = self.engine.with_figures(known);
        Ok(Some(Material { report, blocks, tip, definitions, known_services, known_namespaces }))
    }

    /// The newest word on a month that an engine said whose state was lost, from where its files lie. It counts as not
    /// delivered: one place may have them and another not.
    async fn adopt(&self, month: &str) -> anyhow::Result<Option<Seal>> {
        let mut newest: Option<(Seal, &(String, Shelf))> = None;
        for place in &self.shelves {
            while let Some(seal) =
                self.find(place, month, newest.as_ref().map_or(0, |(seal, _)| seal.restatement + 1)).await?
            {
                newest = Some((seal, place));
            }
        }
        let Some((seal, place)) = newest else { return Ok(None) };
        let mut files = BTreeMap::new();
        for name in seal.files.keys().map(String::as_str).chain([SEAL]) {
            let bytes = place.1.get(&format!("{}{name}", seal.prefix())).await;
            files.insert(
                name.to_owned(),
                bytes.with_context(|| format!("read a sealed month from {}", place.0))?,
            );
        }
        tracing::info!(
            month,
            restatement = seal.restatement,
            place = place.0,
            "a month that was sealed before is taken over"
        );
        let mut tx = self.engine.store().begin().await?;
        seals::put(&mut tx, &Sealed { seal: seal.clone(), files }).await?;
        seals::note_adopted(&mut tx, &seal).await?;
        store::commit(tx).await?;
        Ok(Some(seal))
    }

    /// The seal with a number, if it lies there.
    async fn find(
        &self,
        (name, shelf): &(String, Shelf),
        month: &str,
        number: u32,
    ) -> anyhow::Result<Option<Seal>> {
        let key = format!("{}{SEAL}", seal::prefix(&self.environment, month, number));
        let bytes = match shelf.get(&key).await {
            Err(ShelfError::Missing { .. }) => return Ok(None),
            found => found.with_context(|| format!("look for the month {month} in {name}"))?,
        };
        let seal = serde_json::from_slice(&bytes);
        seal.with_context(|| format!("{key} in {name} is no seal; move it away to seal {month} anew"))
            .map(Some)
    }

    /// Puts what is not delivered everywhere, the seal last.
    async fn deliver(&self) -> anyhow::Result<Vec<String>> {
        let mut tx = self.engine.store().read().await?;
        let pending = seals::pending(&mut tx).await?;
        drop(tx);
        let mut delivered = Vec::new();
        for Sealed { seal, files } in pending {
            let last = |name: &&String| name.as_str() == SEAL;
            let names = files.keys().filter(|name| !last(name)).chain(files.keys().filter(last));
            for name in names.collect::<Vec<_>>() {
                let (key, bytes) = (format!("{}{name}", seal.prefix()), &files[name]);
                for (shelf_name, shelf) in &self.shelves {
                    let put = shelf.put_if_absent(&key, bytes, &sha256_hex(bytes)).await;
                    put.with_context(|| format!("put a sealed month into {shelf_name}"))?;
                }
            }
            let mut tx = self.engine.store().begin().await?;
            seals::delivered(&mut tx, &seal).await?;
            store::commit(tx).await?;
            delivered.push(seal.month);
        }
        Ok(delivered)
    }
}

/// Whether a state that was lost knows less of a month than the one before it did: a refill brings back what the windows
/// need, and no incident.
fn is_known_in_part(material: &Material, said: Option<&Seal>, filled_at: Option<Timestamp>) -> bool {
    let Some(filled_at) = filled_at else { return false };
    let back_to = MinuteId::of_timestamp(filled_at).plus(-KEEP_UNMEASURED_MINUTES);
    let begins_before = minute(&material.report.window.from).is_none_or(|from| from < back_to);
    begins_before || said.is_some_and(|seal| seal.sealed_at < filled_at)
}

/// 72 h after the end of a month.
fn later(ends: Timestamp) -> Timestamp {
    ends.checked_add(SEALS_AFTER).unwrap_or(Timestamp::MAX)
}

/// Whether nothing of a month was forgotten.
fn is_kept(figures: &Figures<'_>, (year, month): (i16, i8)) -> bool {
    let starts = window::month(year, month, &TimeZone::UTC).map(|span| span.from);
    figures.counts.kept_from().is_none_or(|kept| starts.is_some_and(|starts| kept <= starts))
}

/// When a month is over in UTC and in the zone of every SLO.
fn ends(figures: &Figures<'_>, (year, month): (i16, i8)) -> Timestamp {
    let zones = figures.specs.zones();
    let ends = zones.filter_map(|zone| window::month(year, month, zone)).map(|span| span.to.start());
    ends.max().unwrap_or(Timestamp::MAX)
}

/// The definitions in force, the services and the namespaces.
fn known(
    figures: &Figures<'_>,
) -> (BTreeMap<String, Vec<slo::objective::SloSpec>>, Vec<String>, Vec<String>) {
    let specs = |service| SLIS.map(|sli| figures.specs.spec(service, sli)).to_vec();
    let definitions = figures.counts.judged().map(|(service, ..)| (service.to_string(), specs(service)));
    let known = &figures.counts.known;
    let services = known.services.iter().map(|(namespace, name)| format!("{namespace}/{name}"));
    (definitions.collect(), services.collect(), known.namespaces.iter().cloned().collect())
}

#[cfg(test)]
mod tests;
