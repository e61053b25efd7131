//! A run is killed at every moment in turn, and run again: nothing runs twice, nothing is paid twice unasked.

use opora::jobs::{JobError, Stage};

use super::converse::CONVERSE;
use super::training::TRAIN;
use super::world::{Gate, Streams, World};

#[tokio::test]
async fn a_training_job_killed_anywhere_is_one_job_and_one_object() {
    let world = World::new().await;
    world.write("train.jsonl", "{}\n");
    let job = world.load(TRAIN).await.unwrap();
    let gate = Gate::open();
    world.run_gated(&gate, &job, false).await.unwrap().unwrap();
    let moments = gate.passed();
    assert!(moments > 30, "{moments} moments");

    for at in 0..moments {
        let world = World::new().await;
        world.write("train.jsonl", "{}\n");
        let job = world.load(TRAIN).await.unwrap();
        assert!(world.run_gated(&Gate::killing_at(at), &job, false).await.is_none(), "moment {at} was not reached");
        let run = world.run(&job, false).await.unwrap_or_else(|error| panic!("after a kill at {at}: {error}"));
        assert_eq!(run.record.stage, Stage::Succeeded, "moment {at}");
        assert_eq!(world.training_jobs().await, 1, "moment {at}");
        assert_eq!(world.done("CreateTrainingJob"), 1, "moment {at}");
        assert_eq!(world.object_keys().await.len(), 1, "moment {at}");
        assert_eq!(world.records().await.len(), 1, "moment {at}");
    }
}

#[tokio::test]
async fn a_conversation_killed_anywhere_is_never_sent_twice_unasked() {
    let world = World::new().await;
    let job = world.load(CONVERSE).await.unwrap();
    let gate = Gate::open();
    world.run_gated(&gate, &job, false).await.unwrap().unwrap();
    let moments = gate.passed();
    assert!(moments > 8, "{moments} moments");

    let (mut in_doubt, mut recovered) = (0, 0);
    for at in 0..moments {
        let world = World::new().await;
        let job = world.load(CONVERSE).await.unwrap();
        assert!(world.run_gated(&Gate::killing_at(at), &job, false).await.is_none(), "moment {at} was not reached");
        let sent = world.done("ConverseStream");
        match world.run(&job, false).await {
            Ok(run) => {
                assert_eq!(run.record.stage, Stage::Succeeded, "moment {at}");
                assert_eq!(world.done("ConverseStream"), 1, "moment {at}");
                recovered += sent;
            }
            Err(JobError::InDoubt(_)) => {
                assert_eq!(world.done("ConverseStream"), sent, "moment {at}");
                in_doubt += 1;
                let run = world.run(&job, true).await.unwrap();
                assert_eq!((run.record.stage, run.record.attempt), (Stage::Succeeded, 2), "moment {at}");
                let stages: Vec<Stage> = world.records().await.iter().map(|record| record.stage).collect();
                assert_eq!(stages, [Stage::Lost, Stage::Succeeded], "moment {at}");
            }
            Err(error) => panic!("after a kill at {at}: {error}"),
        }
    }
    // Some kills come while the answer is on its way, some when it is kept and not yet recorded.
    assert!(in_doubt > 0 && recovered > 0, "{in_doubt} in doubt, {recovered} recovered");
}

#[tokio::test]
async fn a_large_upload_goes_on_where_it_was_killed() {
    let content = vec![b'x'; (11 << 20) + 5];
    let prepare = async || {
        let mut world = World::new().await;
        world.part_bytes = 5 << 20;
        world.write("train.jsonl", &content);
        world
    };
    let world = prepare().await;
    let job = world.load(TRAIN).await.unwrap();
    let gate = Gate::open();
    let parts_done = async |world: &World| world.done("UploadPart");
    world.run_gated(&gate, &job, false).await.unwrap().unwrap();
    assert_eq!(parts_done(&world).await, 3);
    // Two writes of the log come first (four moments), then the calls, each with a moment before and after:
    // HeadObject, ListMultipartUploads, CreateMultipartUpload, three parts, the completion.
    for at in [9, 12, 17] {
        let world = prepare().await;
        let job = world.load(TRAIN).await.unwrap();
        assert!(world.run_gated(&Gate::killing_at(at), &job, false).await.is_none());
        world.run(&job, false).await.unwrap();
        assert_eq!(world.done("CreateMultipartUpload"), 1, "moment {at}");
        assert_eq!(world.done("CompleteMultipartUpload"), 1, "moment {at}");
        assert_eq!(parts_done(&world).await, 3, "moment {at}");
        assert_eq!(world.object_keys().await.len(), 1, "moment {at}");
    }
}

#[tokio::test]
async fn two_clients_of_one_job_end_with_one() {
    let world = World::new().await;
    world.write("train.jsonl", "{}\n");
    let job = world.load(TRAIN).await.unwrap();
    let (a, b) = tokio::join!(world.run(&job, false), world.run(&job, false));
    assert_eq!((a.unwrap().record.stage, b.unwrap().record.stage), (Stage::Succeeded, Stage::Succeeded));
    assert_eq!((world.training_jobs().await, world.records().await.len()), (1, 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost_and_sent_again_only_when_asked() {
    for streams in [Streams::EndAfter(500), Streams::EndAfter(0), Streams::SilentAfter(300), Streams::SilentAfter(0)] {
        let mut world = World::new().await;
        world.streams = streams;
        let job = world.load(CONVERSE).await.unwrap();
        let error = world.run(&job, false).await.unwrap_err();
        assert!(matches!(error, JobError::CutOff { .. }), "{streams:?}: {error}");
        let record = world.records().await.remove(0);
        assert_eq!(record.stage, Stage::Lost, "{streams:?}");
        assert!(record.remote.request_id.is_some(), "{streams:?}");
        let partial = world.answers().join(&record.id).join("partial.txt");
        assert_eq!(partial.exists(), !matches!(streams, Streams::EndAfter(0) | Streams::SilentAfter(0)), "{streams:?}");

        world.streams = Streams::Whole;
        let refused = world.run(&job, false).await.unwrap_err();
        assert!(matches!(refused, JobError::Ended(_)), "{refused}");
        assert_eq!(world.done("ConverseStream"), 1);
        let run = world.run(&job, true).await.unwrap();
        assert_eq!((run.record.stage, world.done("ConverseStream")), (Stage::Succeeded, 2));
    }
}

#[tokio::test]
async fn a_silent_answer_ends_at_the_earlier_of_idle_and_deadline() {
    let cases = [("10s", "2m", "nothing came for 10s", 10.0), ("30s", "30s", "deadline", 30.0)];
    for (idle, deadline, reason, seconds) in cases {
        let mut world = World::new().await;
        world.streams = Streams::SilentAfter(300);
        let text = CONVERSE.replace("idle: 10s", &format!("idle: {idle}"));
        let job = world.load(&text.replace("deadline: 2m", &format!("deadline: {deadline}"))).await.unwrap();
        let before = world.sandbox.clock().seconds();
        let error = world.run(&job, false).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let took = world.sandbox.clock().seconds() - before;
        assert!((seconds..seconds + 5.0).contains(&took), "{took} s");
    }
}
