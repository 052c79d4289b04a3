//! Reads within a flow.

use super::*;

#[test]
fn get_and_list_merge_what_the_flow_itself_has_written_in_the_order_of_the_keys() {
    let world = World::new(PLAIN);
    world.succeeds([puts("a", 1), puts("c", 1), puts("e", 1)]);
    world.succeeds([step("changes", |context| {
        put(context, "b", 2)?;
        put(context, "c", 2)?;
        remove(context, "e")?;
        assert_eq!(get(context, "b"), Some(json!(2)));
        assert_eq!(get(context, "e"), None);
        let page = list(context, "");
        let entries: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (&*entry.key, entry.value.clone()))
            .collect();
        assert_eq!(entries, [("a", json!(1)), ("b", json!(2)), ("c", json!(2))]);
        assert_eq!(page.next, None);
        Ok(())
    })]);
}

#[test]
fn a_list_has_pages_and_a_prefix() {
    let world = World::new(PLAIN);
    world.succeeds([step("puts", |context| {
        for number in 0..25 {
            put(context, &format!("a/{number:02}"), number)?;
        }
        put(context, "a", 0)?;
        put(context, "b", 0)?;
        Ok(())
    })]);
    let pages = world.sees(|context| {
        // One key that is not in the database, and one that this flow removed.
        put(context, "a/005", 0).unwrap();
        remove(context, "a/11").unwrap();
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let page = context
                .look_up(&RecordList {
                    collection: "c".to_owned(),
                    prefix: "a/".to_owned(),
                    cursor,
                    limit: 10,
                })
                .unwrap();
            let keys: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
            assert!(keys.len() <= 10, "{keys:?}");
            pages.push(keys);
            cursor = page.next;
            if cursor.is_none() {
                return pages;
            }
        }
    });
    assert_eq!(pages.len(), 3);
    let mut expected: Vec<String> = (0..25).map(|number| format!("a/{number:02}")).collect();
    expected.retain(|key| key != "a/11");
    expected.push("a/005".to_owned());
    expected.sort();
    assert_eq!(pages.concat(), expected);
    for limit in [0, 1001] {
        let error = world.sees(move |context| {
            let list = RecordList {
                collection: "c".to_owned(),
                prefix: String::new(),
                cursor: None,
                limit,
            };
            context.look_up(&list).unwrap_err()
        });
        assert_eq!(error.kind, "InvalidInput");
    }
}

#[test]
fn a_collection_that_reads_the_latest_shows_what_others_have_not_published() {
    let world = World::new(PLAIN);
    let get = |world: &World| {
        world.sees(|context| {
            let get = RecordGet {
                collection: "latest".to_owned(),
                key: "lock".to_owned(),
            };
            context.look_up(&get).unwrap().map(|entry| entry.value)
        })
    };
    let take = step("take", |context| {
        let put = RecordPut {
            collection: "latest".to_owned(),
            key: "lock".to_owned(),
            value: json!("mine"),
            expect: Expect::Absent,
        };
        context.apply(&put).map(drop)
    });
    let holder = world.waits(take);
    assert_eq!(get(&world), Some(json!("mine")));
    assert_eq!(roll_back(&holder).verdict, Verdict::Clean);
    assert_eq!(get(&world), None);
}

#[test]
fn what_is_expected_is_judged_when_put_is_called_by_the_published_version_or_the_flows_own() {
    let world = World::new(PLAIN);
    let version = world.sees(|context| put_if(context, "k", 1, Expect::Absent).unwrap());
    world.succeeds([step("puts", move |context| {
        let conflict = put_if(context, "k", 2, Expect::Absent).unwrap_err();
        assert_eq!(conflict.kind, "VersionConflict");
        assert_eq!(conflict.details["found"], json!(version));
        let own = put_if(context, "k", 2, Expect::Version(version))?;
        let conflict = put_if(context, "k", 3, Expect::Version(version)).unwrap_err();
        assert_eq!(conflict.details["found"], json!(own));
        put_if(context, "k", 3, Expect::Version(own))?;
        remove(context, "k")?;
        put_if(context, "k", 4, Expect::Absent)?;
        Ok(())
    })]);
    assert_eq!(world.get("k"), Some(json!(4)));
}

#[test]
fn a_version_that_was_rolled_back_is_not_given_to_another_value() {
    let world = World::new(PLAIN);
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let flow = world.succeeds([step("put", move |context| {
        tell.lock().unwrap().send(put(context, "k", 1)?).unwrap();
        Ok(())
    })]);
    let version = told.recv().unwrap();
    assert_eq!(roll_back(&flow).verdict, Verdict::Clean);
    world.succeeds([puts("k", 2)]);
    let conflict =
        world.sees(move |context| put_if(context, "k", 3, Expect::Version(version)).unwrap_err());
    assert_eq!(conflict.kind, "VersionConflict");
}
