//! The routes over a device. The kernel drops them when it leaves a network namespace: they are read before, and added
//! again where it comes back. What several devices share (nexthops, next-hop objects) is not among them.

use super::netlink::{Kind, Message, Netlink};

/// Attributes of routes (`RTA_*`, rtnetlink(7)).
const DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const CACHE: u16 = 12;
const VIA: u16 = 18;
const NEXT_HOP: u16 = 30;

/// `RTPROT_REDIRECT`, `_KERNEL` and `_RA`: who made these makes them again.
const MADE_ANEW: [u8; 3] = [1, 2, 9];
/// `RTM_F_CLONED`: no route, but what was learned of one (of a path's MTU, for instance).
const LEARNED: u32 = 0x200;
/// `RTNH_F_PERVASIVE` and `_ONLINK`; the other flags are the kernel's to tell.
const KEPT_FLAGS: u32 = 0x6;

/// The fixed part of a route (`struct rtmsg`): family, lengths of destination and source, TOS, table, protocol, scope,
/// type; four bytes of flags.
const FIXED: usize = 12;
const FAMILY: usize = 0;
const PROTOCOL: usize = 5;
const FLAGS: usize = 8;

/// The permanent routes over one device, in an order in which they can be added.
///
/// # Errors
/// The kernel's answer to the dump.
pub fn over(link: &Netlink, device: i32) -> nix::Result<Vec<Message>> {
    let mut routes = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut fixed = [0; FIXED];
        fixed[FAMILY] = family as u8;
        let mut found = link.dump(&Message::new(Kind::GetRoute, &fixed).with(DEVICE, &device.to_ne_bytes()))?;
        // The kernel answers for all families where it lacks this one.
        found.retain(|route| route.fixed().first() == Some(&fixed[FAMILY]) && is_kept(route, device));
        routes.append(&mut found);
    }
    // A gateway must be reached by a route that is there already.
    routes.sort_by_key(|route| route.attribute(GATEWAY).or(route.attribute(VIA)).is_some());
    Ok(routes)
}

fn is_kept(route: &Message, device: i32) -> bool {
    /// Where a `struct rta_cacheinfo` has the time after which the route goes; zero if it stays.
    const EXPIRES: usize = 8;
    let expires = route.attribute(CACHE).and_then(|cache| cache.get(EXPIRES..EXPIRES + 4));
    route.attribute(DEVICE) == Some(&device.to_ne_bytes())
        && route.fixed().get(PROTOCOL).is_some_and(|protocol| !MADE_ANEW.contains(protocol))
        && route.word(FLAGS) & LEARNED == 0
        && expires.is_none_or(|expires| expires == [0; 4])
        && route.attribute(NEXT_HOP).is_none()
}

/// Adds a route again, as it was read.
///
/// # Errors
/// The kernel's answer: ENETUNREACH where no route leads to its gateway.
pub fn add(link: &Netlink, route: &Message) -> nix::Result<()> {
    let mut fixed = route.fixed().to_vec();
    fixed[FLAGS..FIXED].copy_from_slice(&(route.word(FLAGS) & KEPT_FLAGS).to_ne_bytes());
    let kept = route.attributes().filter(|(kind, _)| *kind != CACHE);
    link.ask(&kept.fold(Message::new(Kind::NewRoute, &fixed), |all, (kind, value)| all.with(kind, value))).map(drop)
}
