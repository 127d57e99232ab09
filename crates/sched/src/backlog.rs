//! Queued requests: the first of each flow in the flow itself, those behind it in one table of all,
//! so that queueing allocates nothing once that has grown, and the next decision reads the flow alone.

use crate::ContextId;
use crate::scheduler::{Request, Token};
use crate::table::Table;

const NONE: u32 = u32::MAX;

/// A request, and where the one behind it is.
#[derive(Debug, Clone, Copy)]
struct Node {
    token: Token,
    cost_ns: u64,
    length_bytes: u32,
    next: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self { token: 0, cost_ns: 0, length_bytes: 0, next: NONE }
    }
}

/// One flow's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    head: Node,
    /// The last one's place, if it is not the head.
    last: u32,
    length: u16,
}

impl Queue {
    /// One without requests.
    pub(crate) fn new() -> Self {
        Self { head: Node::default(), last: NONE, length: 0 }
    }

    /// How many requests it has.
    pub(crate) fn len(&self) -> u16 {
        self.length
    }

    /// It has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first one's cost.
    pub(crate) fn first_cost_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.head.cost_ns)
    }

    /// The first one, as the context's whose queue it is.
    pub(crate) fn first(&self, context: ContextId) -> Option<Request> {
        let Node { token, cost_ns, length_bytes, .. } = self.head;
        (!self.is_empty()).then_some(Request { context, token, cost_ns, length_bytes })
    }
}

/// The requests behind the first ones.
#[derive(Debug)]
pub(crate) struct Backlog {
    nodes: Table<Node>,
    /// Places that were ever used.
    used: u32,
    free: u32,
    queued: usize,
}

impl Backlog {
    /// Without requests.
    pub(crate) fn new() -> Self {
        Self { nodes: Table::default(), used: 0, free: NONE, queued: 0 }
    }

    /// Requests in all queues.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Adds to a queue's end.
    pub(crate) fn push(&mut self, queue: &mut Queue, request: &Request) {
        let Request { token, cost_ns, length_bytes, .. } = *request;
        let node = Node { token, cost_ns, length_bytes, next: NONE };
        if queue.is_empty() {
            queue.head = node;
        } else {
            let place = self.keep(node);
            let last = self.nodes.get_mut(queue.last).unwrap_or(&mut queue.head);
            last.next = place;
            queue.last = place;
        }
        queue.length += 1;
        self.queued += 1;
    }

    fn keep(&mut self, node: Node) -> u32 {
        let place = if self.free == NONE { self.used } else { self.free };
        if let Some(slot) = self.nodes.slot(place) {
            let next_free = std::mem::replace(slot, node).next;
            if self.free == NONE {
                self.used += 1;
            } else {
                self.free = next_free;
            }
        }
        place
    }

    /// Drops a queue's head.
    pub(crate) fn pop(&mut self, queue: &mut Queue) {
        if queue.is_empty() {
            return;
        }
        let place = queue.head.next;
        if let Some(next) = self.nodes.get_mut(place) {
            queue.head = *next;
            next.next = std::mem::replace(&mut self.free, place);
            if queue.last == place {
                queue.last = NONE;
            }
        }
        queue.length -= 1;
        self.queued -= 1;
    }

    /// Takes a request out by name; with it, whether it was the head.
    pub(crate) fn remove(&mut self, queue: &mut Queue, token: Token) -> Option<bool> {
        if queue.is_empty() {
            return None;
        }
        if queue.head.token == token {
            self.pop(queue);
            return Some(true);
        }
        let (mut before, mut place) = (NONE, queue.head.next);
        while let Some(node) = self.nodes.get(place) {
            if node.token == token {
                self.unlink(queue, before, place);
                return Some(false);
            }
            (before, place) = (place, node.next);
        }
        None
    }

    /// Takes out what is not the head; `NONE` is before what is next to it.
    fn unlink(&mut self, queue: &mut Queue, before: u32, place: u32) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let next = std::mem::replace(&mut node.next, self.free);
        self.free = place;
        self.nodes.get_mut(before).unwrap_or(&mut queue.head).next = next;
        if next == NONE {
            queue.last = before;
        }
        queue.length -= 1;
        self.queued -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, Queue};
    use crate::ContextId;
    use crate::scheduler::{Request, Token};

    const CONTEXT: ContextId = ContextId { index: 0, generation: 0 };

    fn request(token: Token) -> Request {
        Request { context: CONTEXT, token, cost_ns: 1, length_bytes: 1 }
    }

    fn drain(backlog: &mut Backlog, queue: &mut Queue) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(first) = queue.first(CONTEXT) {
            backlog.pop(queue);
            tokens.push(first.token);
        }
        tokens
    }

    #[test]
    fn queues_keep_their_order_and_share_what_is_free() {
        let mut backlog = Backlog::new();
        let [mut left, mut right] = [Queue::new(); 2];
        for token in 0..4 {
            backlog.push(&mut left, &request(token));
            backlog.push(&mut right, &request(10 + token));
        }
        assert_eq!(backlog.remove(&mut left, 2), Some(false));
        assert_eq!(backlog.remove(&mut left, 0), Some(true));
        assert_eq!(backlog.remove(&mut left, 3), Some(false), "the last one");
        assert_eq!(backlog.remove(&mut left, 13), None, "another queue's");
        backlog.push(&mut left, &request(4));
        backlog.push(&mut left, &request(5));
        assert_eq!((backlog.queued(), left.len()), (7, 3));
        assert_eq!(drain(&mut backlog, &mut left), [1, 4, 5]);
        assert_eq!(drain(&mut backlog, &mut right), [10, 11, 12, 13]);
        assert!(left.is_empty() && backlog.queued() == 0);
        assert_eq!(backlog.remove(&mut left, 5), None, "what is gone");
        assert_eq!(backlog.used, 6, "places are used again");
    }
}
