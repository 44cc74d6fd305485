//! The escalation machine, rule by rule.

use super::{alert, at, default_policies, page, policy, said, step, take, ticket, told, told_at};
use crate::{Command, Escalations, Incident, Input, PoliciesConfig, Severity};

fn resolve(key: &str) -> Input {
    Input::Resolve { key: key.into() }
}

fn acknowledge(machine: &Escalations) -> Input {
    Input::Acknowledge { incident: only(machine).id.clone(), by: "ann".into() }
}

fn only(machine: &Escalations) -> &Incident {
    machine.incidents().next().unwrap()
}

fn repeating() -> Escalations {
    let page = policy(vec![step(0, &["a"]), step(600, &["b"])], 2, 1_500);
    let config = PoliciesConfig { page: Some(page), ..PoliciesConfig::default() };
    Escalations::new(config.prove(&super::channels()).unwrap())
}

#[test]
fn a_page_goes_to_on_call_and_to_the_second_after_fifteen_minutes() {
    let mut machine = Escalations::new(default_policies());
    assert_eq!(told(&mut machine, Input::Fire(page("k")), at(0)), ["trigger on-call/pager"]);
    assert_eq!(machine.poll_timeout(), Some(at(900)));
    assert_eq!(told_at(&mut machine, at(899)), [""; 0]);
    assert_eq!(told_at(&mut machine, at(900)), ["trigger on-call-secondary/pager"]);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_ticket_goes_to_the_team_and_no_further() {
    let mut machine = Escalations::new(default_policies());
    assert_eq!(told(&mut machine, Input::Fire(ticket("k")), at(0)), ["trigger team/pager"]);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn the_same_fire_again_and_a_lower_one_change_nothing() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    machine.handle(Input::Fire(page("k")), at(1));
    machine.handle(Input::Fire(ticket("k")), at(2));
    assert_eq!(take(&mut machine), []);
}

#[test]
fn an_acknowledge_stops_the_steps_and_is_told_to_every_channel_that_may_have_opened() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    let ack = acknowledge(&machine);
    assert_eq!(
        told(&mut machine, ack.clone(), at(60)),
        ["acknowledge on-call/pager", "acknowledge on-call/mail"]
    );
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(told_at(&mut machine, at(10_000)), [""; 0]);
    assert_eq!(told(&mut machine, ack, at(10_001)), [""; 0], "a second acknowledge");
    assert_eq!(
        told(&mut machine, resolve("k"), at(10_002)),
        ["resolve on-call/pager", "resolve on-call/mail"]
    );
}

#[test]
fn a_resolve_is_told_to_everyone_who_was_told_whatever_became_of_the_policy() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    told_at(&mut machine, at(900));
    let other =
        PoliciesConfig { page: Some(policy(vec![step(0, &["x"])], 0, 0)), ..PoliciesConfig::default() };
    machine.set_policies(other.prove(&super::channels()).unwrap());
    let want = [
        "resolve on-call/pager",
        "resolve on-call/mail",
        "resolve on-call-secondary/pager",
        "resolve on-call-secondary/mail",
    ];
    assert_eq!(told(&mut machine, resolve("k"), at(901)), want);
    assert_eq!(told(&mut machine, resolve("k"), at(902)), [""; 0], "a second resolve");
    assert_eq!(told(&mut machine, Input::Fire(page("k")), at(903)), ["trigger x/pager"]);
}

#[test]
fn an_upgrade_notifies_by_the_new_severity_even_when_acknowledged() {
    for input in [Input::Fire(page("k")), Input::Renotify(page("k"))] {
        let mut machine = Escalations::new(default_policies());
        told(&mut machine, Input::Fire(ticket("k")), at(0));
        let ack = acknowledge(&machine);
        told(&mut machine, ack, at(1));
        assert_eq!(told(&mut machine, input, at(100)), ["trigger on-call/pager"]);
        assert_eq!(machine.poll_timeout(), Some(at(1_000)));
        assert_eq!(only(&machine).episode, 1);
        let want =
            ["resolve team/pager", "resolve team/mail", "resolve on-call/pager", "resolve on-call/mail"];
        assert_eq!(told(&mut machine, resolve("k"), at(101)), want);
    }
}

#[test]
fn once_more_on_an_acknowledged_incident_begins_at_the_first_step() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    let ack = acknowledge(&machine);
    told(&mut machine, ack, at(1));
    assert_eq!(told(&mut machine, Input::Renotify(ticket("k")), at(100)), ["trigger on-call/pager"]);
    assert_eq!(only(&machine).alert.severity, Severity::Page, "a downgrade does not lower it");
    assert_eq!(only(&machine).acknowledged, None);
    assert_eq!(machine.poll_timeout(), Some(at(1_000)));
}

#[test]
fn once_more_on_an_unacknowledged_incident_does_not_put_off_the_second_step() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    assert_eq!(told(&mut machine, Input::Renotify(page("k")), at(600)), ["trigger on-call/pager"]);
    assert_eq!(told_at(&mut machine, at(900)), ["trigger on-call-secondary/pager"]);
}

#[test]
fn a_repeating_policy_goes_through_its_steps_again() {
    let mut machine = repeating();
    let mut seen = vec![(0, told(&mut machine, Input::Fire(page("k")), at(0)))];
    while let Some(due) = machine.poll_timeout() {
        seen.push((due.as_second() - at(0).as_second(), told_at(&mut machine, due)));
    }
    let (a, b) = (vec!["trigger a/pager".to_owned()], vec!["trigger b/pager".to_owned()]);
    let want = [(0, &a), (600, &b), (1_500, &a), (2_100, &b), (3_000, &a), (3_600, &b)];
    assert_eq!(seen, want.map(|(due, said)| (due, said.clone())));
}

#[test]
fn after_a_long_sleep_overdue_steps_all_run_and_an_overdue_repetition_runs_once() {
    let mut machine = repeating();
    told(&mut machine, Input::Fire(page("k")), at(0));
    assert_eq!(told_at(&mut machine, at(100_000)), ["trigger b/pager", "trigger a/pager"]);
    assert_eq!(machine.poll_timeout(), Some(at(100_600)));
}

#[test]
fn a_restart_commands_nothing_and_counts_episodes_on() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    machine.handle(resolve("k"), at(1));
    let Some(Command::Save(resolved)) = machine.next_command() else {
        panic!("a resolve saves the incident")
    };
    let mut machine = Escalations::restore(default_policies(), [resolved]);
    assert_eq!(said(&mut machine), [""; 0]);
    assert_eq!(machine.poll_timeout(), None);
    told(&mut machine, Input::Fire(page("k")), at(2));
    let open = only(&machine).clone();
    assert_eq!(open.episode, 2);
    let mut machine = Escalations::restore(default_policies(), [open]);
    assert_eq!(said(&mut machine), [""; 0]);
    assert_eq!(told_at(&mut machine, at(2_000)), ["trigger on-call-secondary/pager"]);
}

#[test]
fn an_incident_survives_being_written_and_read() {
    let mut machine = repeating();
    told(&mut machine, Input::Fire(alert("k", Severity::Page)), at(0));
    let ack = acknowledge(&machine);
    told(&mut machine, ack, at(1));
    let text = serde_json::to_string(only(&machine)).unwrap();
    assert_eq!(serde_json::from_str::<Incident>(&text).unwrap(), *only(&machine));
}

#[test]
fn a_resolve_by_hand_names_who_and_the_next_fire_is_a_new_episode() {
    let mut machine = Escalations::new(default_policies());
    told(&mut machine, Input::Fire(page("k")), at(0));
    let first = only(&machine).id.clone();
    machine.handle(Input::ResolveByHand { incident: first.clone(), by: "ann".into() }, at(1));
    let by: Vec<_> = super::intents(&take(&mut machine)).into_iter().map(|intent| intent.by).collect();
    assert_eq!(by, [Some("ann".to_owned()), Some("ann".to_owned())]);
    assert_eq!(told(&mut machine, Input::Fire(page("k")), at(1)), ["trigger on-call/pager"]);
    assert_ne!(only(&machine).id, first);
}

#[test]
fn nobody_is_told_the_end_of_what_nobody_was_told() {
    let late =
        PoliciesConfig { page: Some(policy(vec![step(300, &["a"])], 0, 0)), ..PoliciesConfig::default() };
    let mut machine = Escalations::new(late.prove(&super::channels()).unwrap());
    assert_eq!(told(&mut machine, Input::Fire(page("k")), at(0)), [""; 0]);
    assert_eq!(told(&mut machine, Input::Renotify(page("k")), at(1)), [""; 0]);
    assert_eq!(told(&mut machine, resolve("k"), at(299)), [""; 0]);
    assert_eq!(told_at(&mut machine, at(300)), [""; 0]);
}
