//! Queued requests: one list for each flow, all in one array, so that queueing allocates nothing once
//! the array has grown.

use crate::scheduler::{Request, Token};

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    request: Request,
    next: u32,
}

/// One flow's list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    first: u32,
    last: u32,
    length: u32,
}

impl List {
    /// An empty one.
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE, length: 0 };

    /// How many requests it has.
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    /// It has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// The array.
#[derive(Debug)]
pub(crate) struct Backlog {
    nodes: Vec<Node>,
    free: u32,
    queued: usize,
}

impl Backlog {
    /// Without requests.
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE, queued: 0 }
    }

    /// Requests in all lists.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// The request at the head of a list.
    pub(crate) fn first(&self, list: &List) -> Option<&Request> {
        self.nodes.get(list.first as usize).map(|node| &node.request)
    }

    /// Adds to a list's end.
    pub(crate) fn push(&mut self, list: &mut List, request: Request) {
        let node = Node { request, next: NONE };
        let place = match self.nodes.get_mut(self.free as usize) {
            Some(free) => std::mem::replace(&mut self.free, std::mem::replace(free, node).next),
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        match self.nodes.get_mut(list.last as usize) {
            Some(last) => last.next = place,
            None => list.first = place,
        }
        list.last = place;
        list.length += 1;
        self.queued += 1;
    }

    /// Takes a list's head.
    pub(crate) fn pop(&mut self, list: &mut List) -> Option<Request> {
        self.unlink(list, NONE, list.first)
    }

    /// Takes a request out by name; with it, whether it was the head.
    pub(crate) fn remove(&mut self, list: &mut List, token: Token) -> Option<bool> {
        let (mut before, mut place) = (NONE, list.first);
        while let Some(node) = self.nodes.get(place as usize) {
            if node.request.token == token {
                self.unlink(list, before, place)?;
                return Some(before == NONE);
            }
            (before, place) = (place, node.next);
        }
        None
    }

    fn unlink(&mut self, list: &mut List, before: u32, place: u32) -> Option<Request> {
        let free = self.free;
        let node = self.nodes.get_mut(place as usize)?;
        let (request, next) = (node.request, std::mem::replace(&mut node.next, free));
        self.free = place;
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.next = next,
            None => list.first = next,
        }
        if next == NONE {
            list.last = before;
        }
        list.length -= 1;
        self.queued -= 1;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, List};
    use crate::ContextId;
    use crate::scheduler::Request;

    fn request(token: u64) -> Request {
        let context = ContextId { index: 0, generation: 0 };
        Request { context, token, cost_ns: 1, length_bytes: 1 }
    }

    #[test]
    fn lists_keep_their_order_and_share_what_is_free() {
        let mut backlog = Backlog::new();
        let [mut left, mut right] = [List::EMPTY; 2];
        for token in 0..4 {
            backlog.push(&mut left, request(token));
            backlog.push(&mut right, request(10 + token));
        }
        assert_eq!(backlog.remove(&mut left, 2), Some(false));
        assert_eq!(backlog.remove(&mut left, 0), Some(true));
        assert_eq!(backlog.remove(&mut left, 3), Some(false), "the last one");
        assert_eq!(backlog.remove(&mut left, 13), None, "another list's");
        backlog.push(&mut left, request(4));
        assert_eq!((backlog.queued(), left.len()), (6, 2));
        let rest: Vec<_> = std::iter::from_fn(|| backlog.pop(&mut left)).map(|r| r.token).collect();
        assert_eq!(rest, [1, 4]);
        let rest: Vec<_> =
            std::iter::from_fn(|| backlog.pop(&mut right)).map(|r| r.token).collect();
        assert_eq!(rest, [10, 11, 12, 13]);
        assert!(left.is_empty() && backlog.queued() == 0);
        assert_eq!(backlog.nodes.len(), 8, "places are used again");
    }
}
