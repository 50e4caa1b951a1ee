//! Questions that members have not answered, and which tasks each of them is about.

use std::collections::BTreeMap;

use crate::{
    node::{flights::Number, votes::Votes},
    record::NodeId,
};

/// Questions under way. There are at most as many as turns that fit into the time that a peer takes
/// to answer or to be given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Questions {
    open: BTreeMap<u64, Question>,
    last_id: u64,
}

/// One question, put to one or several members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    /// One for each entry of the answer.
    tasks: Vec<Number>,
    /// Who has not answered.
    missing: Votes,
}

impl Questions {
    /// Members are asked about these tasks; under which id.
    pub(crate) fn ask(&mut self, members: Votes, tasks: Vec<Number>) -> u64 {
        self.last_id += 1;
        if members.count() > 0 {
            self.open.insert(self.last_id, Question { tasks, missing: members });
        }
        self.last_id
    }

    /// A member answers. The tasks asked about, if it was asked.
    pub(crate) fn on_answer(&mut self, from: NodeId, id: u64) -> Option<Vec<Number>> {
        let question = self.open.get_mut(&id).filter(|open| open.missing.contains(from))?;
        question.missing.retract(from);
        if question.missing.count() > 0 {
            return Some(question.tasks.clone());
        }
        self.open.remove(&id).map(|question| question.tasks)
    }

    /// A member will not answer.
    pub(crate) fn on_lost(&mut self, peer: NodeId) {
        self.open.retain(|_, question| {
            question.missing.retract(peer);
            question.missing.count() > 0
        });
    }

    /// How many wait for an answer.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_ends_with_the_last_answer() {
        let mut questions = Questions::default();
        let mut both = Votes::default();
        both.add(NodeId(1));
        both.add(NodeId(2));
        let first = questions.ask(both, vec![7, 8]);
        let second = questions.ask(both, vec![9]);
        assert_eq!(questions.on_answer(NodeId(1), first), Some(vec![7, 8]));
        assert_eq!(questions.on_answer(NodeId(1), first), None, "answered already");
        assert_eq!(questions.on_answer(NodeId(0), first), None, "never asked");
        assert_eq!(questions.on_answer(NodeId(2), first), Some(vec![7, 8]));
        assert_eq!(questions.on_answer(NodeId(2), second), Some(vec![9]));
        questions.on_lost(NodeId(1));
        assert_eq!(questions.len(), 0);
        questions.ask(Votes::default(), vec![1]);
        assert_eq!(questions.len(), 0, "nobody was asked");
    }
}
