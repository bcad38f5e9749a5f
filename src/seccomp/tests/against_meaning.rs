//! Random profiles, against a reading of the profile itself: no graph, no program, one call at a time.

use super::*;

#[test]
fn programs_mean_what_profiles_say() {
    let mut random = Random(0x5eed);
    let (mut checked, mut refused) = (0, 0);
    for _ in 0..4000 {
        let profile = random_profile(&mut random);
        match compare(&profile, 12, &mut random) {
            Some(compared) => checked += compared,
            None => refused += 1,
        }
    }
    println!("{checked} answers checked, {refused} profiles refused");
    assert!(checked > 1_000_000 && (50..2000).contains(&refused));
}
