//! Properties of the connection over everything that its peer and its host may do.
//!
//! `PROPTEST_CASES` is the number of cases; a failure is printed shrunk, with its input.

#[cfg(test)]
mod model;
#[cfg(test)]
mod replay;

#[cfg(test)]
mod properties {
    use super::{model, replay};
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, proptest};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Every command that is accepted is answered exactly once or aborted, whatever the order
        /// of things, and memory stays bounded.
        #[test]
        fn every_accepted_command_is_answered_once(choices in vec(any::<u8>(), 0..1500)) {
            model::run(&choices);
        }

        /// However the stream of bytes is cut, the same events and the same PDUs come of it.
        #[test]
        fn segmentation_changes_nothing(
            choices in vec(any::<u8>(), 0..300),
            cuts in vec(0_usize..200, 1..40),
        ) {
            let (stream, whole) = replay::record(&choices);
            assert_eq!(replay::replay(&choices, &stream, &cuts), whole);
        }
    }
}
