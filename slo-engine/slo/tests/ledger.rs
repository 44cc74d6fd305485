//! The ledger as its readers see it: blocks come back as they were written, and no change to one goes unnoticed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use slo::counts::{Counts, MinuteId, Sli};
use slo::ledger::{Block, Entry, EntryState, LedgerError, Tip, table, verify_chain};
use slo::series::Minute;

fn entry(service: &str, sli: Sli, total: u64, bad: u64) -> Entry {
    let ladder = if sli == Sli::Latency { vec![total - bad, bad] } else { vec![] };
    let counts = Counts { total, bad, excluded: 1 };
    Entry { service: service.to_owned(), sli, state: EntryState::Read, counts, ladder }
}

fn chain(minutes: &[(i64, u32, Vec<Entry>)]) -> Vec<Block> {
    let mut tip = Tip::START;
    let mut blocks = vec![];
    for (minute, amendment, entries) in minutes {
        let block = Block::new(tip, MinuteId(*minute), *amendment, entries.clone()).unwrap();
        tip = block.verify(tip).unwrap();
        blocks.push(block);
    }
    blocks
}

fn three() -> Vec<Block> {
    let both = |total, bad| {
        vec![entry("shop/cart", Sli::Latency, total, bad), entry("shop/cart", Sli::Availability, total, 0)]
    };
    chain(&[(7, 0, both(10, 1)), (8, 0, both(20, 2)), (7, 1, vec![entry("shop/cart", Sli::Latency, 11, 2)])])
}

#[test]
fn of_several_words_on_a_minute_the_last_one_counts() {
    let table = table(&three());
    let latency = |minute| &table[&(MinuteId(minute), "shop/cart".to_owned(), Sli::Latency)];
    assert_eq!((latency(7).counts.total, latency(8).counts.total, table.len()), (11, 20, 4));
}

#[test]
fn an_excluded_minute_keeps_its_counts_in_the_ledger_only() {
    let excluded = Entry { state: EntryState::Excluded, ..entry("a/b", Sli::Availability, 5, 5) };
    assert_eq!((excluded.minute(), excluded.counts.bad), (Minute::Excluded, 5));
}

#[test]
fn a_block_that_was_left_out_swapped_or_changed_breaks_the_chain() {
    let blocks = three();
    assert_eq!(verify_chain(Tip::START, &blocks).unwrap().next, 3);
    let broken = |blocks: &[Block]| verify_chain(Tip::START, blocks).unwrap_err();
    assert!(matches!(
        broken(&[blocks[0].clone(), blocks[2].clone()]),
        LedgerError::Chain { number: 2, expected: 1, .. }
    ));
    let forged =
        Block::new(Tip::START, MinuteId(7), 0, vec![entry("shop/cart", Sli::Latency, 10, 0)]).unwrap();
    assert!(matches!(
        broken(&[forged, blocks[1].clone()]),
        LedgerError::Chain { number: 1, expected: 1, .. }
    ));
}

#[test]
fn two_entries_for_one_sli_are_refused() {
    let twice = vec![entry("a/b", Sli::Latency, 1, 0), entry("a/b", Sli::Latency, 2, 0)];
    let got = Block::new(Tip::START, MinuteId(5), 0, twice).unwrap_err().to_string();
    assert_eq!(got, "ledger block of minute 5: a/b has two entries for Latency");
}

#[test]
fn the_written_form_stays_as_it_is() {
    let block = &three()[0];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&block.hash()), "f7609cccb39e43711dec19899f3e2654e94ef210e0127c204cfd08415e84e3ad");
    assert_eq!(hex(&block.encode()[..8]), "48524c4544475231");
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let state = prop_oneof![
        Just(EntryState::Read),
        Just(EntryState::Partial),
        Just(EntryState::Unmeasured),
        Just(EntryState::Excluded)
    ];
    let sli = prop_oneof![Just(Sli::Availability), Just(Sli::Latency)];
    let ladder = prop::collection::vec(any::<u64>(), 0..11);
    ("[a-c]{1,3}/[a-zé]{0,4}", sli, state, any::<[u64; 3]>(), ladder).prop_map(
        |(service, sli, state, counts, ladder)| {
            let [total, bad, excluded] = counts;
            Entry { service, sli, state, counts: Counts { total, bad, excluded }, ladder }
        },
    )
}

fn any_block() -> impl Strategy<Value = Block> {
    (prop::collection::vec(any_entry(), 0..20), any::<[u8; 32]>(), any::<u64>(), any::<i64>(), any::<u32>())
        .prop_map(|(mut entries, hash, next, minute, amendment)| {
            entries.sort_by(|a, b| (&a.service, a.sli).cmp(&(&b.service, b.sli)));
            entries.dedup_by(|a, b| (&a.service, a.sli) == (&b.service, b.sli));
            Block::new(Tip { next, hash }, MinuteId(minute), amendment, entries).unwrap()
        })
}

proptest! {
    #[test]
    fn a_block_comes_back_as_it_was_written(block in any_block()) {
        prop_assert_eq!(Block::decode(&block.encode()), Ok(block));
    }

    #[test]
    fn the_order_of_the_entries_does_not_matter(block in any_block()) {
        let entries = block.entries().iter().rev().cloned().collect();
        let tip = Tip { next: block.number(), hash: block.previous() };
        let again = Block::new(tip, block.minute(), block.amendment(), entries).unwrap();
        prop_assert_eq!(again.hash(), block.hash());
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_the_hash(block in any_block(), place in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = block.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(Block::decode(&bytes).is_err() || Block::decode(&bytes).is_ok_and(|changed| changed.hash() != block.hash()));
    }

    #[test]
    fn a_cut_or_lengthened_block_is_refused(block in any_block(), place in any::<prop::sample::Index>()) {
        let mut bytes = block.encode();
        prop_assert!(Block::decode(&bytes[..place.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Block::decode(&bytes).is_err());
    }

    #[test]
    fn bytes_that_are_no_block_are_refused_without_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let block = [b"HRLEDGR1".as_slice(), &bytes].concat();
        prop_assert!(Block::decode(&block).is_err());
    }
}
