//! Guarantees of the store over any database. Each test runs over SQLite, over PostgreSQL, over the database in memory, and over the one in memory with a
//! connection that breaks in the middle of commits.

#[path = "../../../volumes/testing/any.rs"]
mod any;
mod flows;
mod owned;
mod place;
mod processes;
mod scene;
mod sleeping;
mod stalled;
mod stored;

use place::{Broken, InMemory, OnDisk, OnServer};

macro_rules! over {
    ($backend:ident, $place:expr, $($module:ident::$test:ident,)*) => {
        mod $backend {
            $(#[test] fn $test() {
                // A server that is not installed is reported where it is looked for.
                if let Some(place) = $place {
                    super::$module::$test(&place);
                }
            })*
        }
    };
}

macro_rules! over_every_backend {
    (
        every: [$($module:ident::$test:ident,)*],
        processes_write_in_turns: [$($turns:ident::$in_turns:ident,)*],
        hosts_own_projects: [$($owns:ident::$owned:ident,)*],
    ) => {
        over!(sqlite, Some(super::OnDisk::new()), $($module::$test,)* $($turns::$in_turns,)*);
        over!(memory, Some(super::InMemory::new()), $($module::$test,)* $($turns::$in_turns,)*);
        over!(broken_connection, Some(super::Broken::new()), $($module::$test,)* $($turns::$in_turns,)*);
        over!(postgres, super::OnServer::new(), $($module::$test,)* $($owns::$owned,)*);
    };
}

over_every_backend! {
    every: [
    flows::an_effect_is_taken_back_and_both_are_in_the_journal,
    flows::a_refused_effect_leaves_nothing,
    flows::an_operation_on_a_flow_is_in_the_audit_with_its_event,
    flows::an_effect_of_a_call_that_is_over_is_refused,
    processes::a_flow_is_in_one_hand_and_goes_on_in_another_when_its_process_is_gone,
    flows::whoever_waits_is_told,
    flows::many_flows_at_once_leave_books_that_are_right,
    processes::a_flow_that_was_set_aside_is_taken_over_only_when_it_is_asked_for,
    processes::what_is_read_of_many_flows_together_is_what_is_read_of_each,
    stored::a_plan_that_was_kept_is_there_with_its_components_for_every_process,
    stored::a_damaged_component_is_an_error_until_it_is_stored_again,
    stored::the_fingerprint_of_a_master_key_is_recorded_once,
    processes::the_flow_of_a_key_is_found_by_the_same_request_alone,
    sleeping::a_flow_that_sleeps_is_due_at_its_time,
    sleeping::a_flow_that_woke_is_not_due_any_more,
    sleeping::a_flow_that_sleeps_is_left_alone_by_recovery_and_woken_by_the_next_process,
    ],
    processes_write_in_turns: [
    processes::what_a_flow_wrote_is_read_by_another_process,
    processes::a_key_stands_for_the_first_request,
    processes::a_flow_that_rested_is_not_written_to_behind_the_one_who_went_on,
    processes::what_another_process_changed_is_seen,
    processes::a_request_is_seen_by_the_process_that_has_the_flow_and_answered_once,
    sleeping::a_flow_that_another_process_woke_has_gone_on,
    ],
    hosts_own_projects: [
    owned::a_project_belongs_to_one_host_until_that_ends,
    owned::an_operator_changes_what_its_host_owns,
    owned::every_host_decides_by_the_catalogue_that_one_has_changed,
    owned::the_owner_of_a_project_takes_a_request_once,
    owned::a_request_that_its_owner_has_read_is_not_withdrawn,
    owned::an_operator_changes_messages_of_owned_projects_alone,
    owned::an_owner_hands_a_project_over_to_an_operator_who_waits,
    owned::flows_are_pruned_beside_the_host_that_owns_their_project,
    owned::operators_change_a_project_one_after_another,
    owned::a_flow_that_was_given_back_is_taken_up_by_the_same_host,
    owned::a_host_hears_that_others_ask_something_of_it,
    owned::messages_in_projects_without_an_owner_are_taken_over,
    owned::a_request_that_was_refused_creates_no_flow,
    owned::so_many_requests_of_a_project_wait_and_no_more,
    owned::a_project_that_is_given_back_goes_on_at_the_next_host,
    owned::hosts_that_share_take_the_same_number_of_partitions,
    ],
}
