//! The strategies, as the gateway sees them.

use std::collections::BTreeMap;

use tickwire::operator::{Busy, Instruction, Operator, Said};

use crate::protocol::{Agent, AgentStatus};

/// What is known of a strategy before it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentCard {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Where it trades.
    pub venues: Vec<String>,
    /// What it can do: `order.place`, or nothing.
    pub tools: Vec<String>,
    /// JSON schema of a session's `params`.
    pub params_schema: serde_json::Value,
}

impl AgentCard {
    /// A strategy of this name that may ask for orders and takes any parameters.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> AgentCard {
        AgentCard {
            name: name.into(),
            description: description.into(),
            venues: Vec::new(),
            tools: vec!["order.place".to_owned()],
            params_schema: serde_json::json!({ "type": "object" }),
        }
    }

    /// Where it trades.
    pub fn at<'a>(mut self, venues: impl IntoIterator<Item = &'a str>) -> AgentCard {
        self.venues = venues.into_iter().map(str::to_owned).collect();
        self
    }

    pub(crate) fn with_status(&self, status: AgentStatus) -> Agent {
        Agent {
            name: self.name.clone(),
            description: self.description.clone(),
            venues: self.venues.clone(),
            tools: self.tools.clone(),
            params_schema: self.params_schema.clone(),
            status,
        }
    }
}

/// The strategies of a gateway, each with the operator's end of its line.
#[derive(Debug, Default)]
pub struct Crew {
    members: BTreeMap<String, (AgentCard, Operator)>,
}

impl Crew {
    /// Nobody.
    pub fn new() -> Crew {
        Crew::default()
    }

    /// Adds a strategy; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, card: AgentCard, operator: Operator) -> Crew {
        self.members.insert(card.name.clone(), (card, operator));
        self
    }

    pub(crate) fn cards(&self) -> impl Iterator<Item = &AgentCard> {
        self.members.values().map(|(card, _)| card)
    }

    pub(crate) fn card(&self, agent: &str) -> Option<&AgentCard> {
        self.members.get(agent).map(|(card, _)| card)
    }

    pub(crate) fn send(&self, agent: &str, instruction: Instruction) -> Result<(), Busy> {
        match self.members.get(agent) {
            Some((_, operator)) => operator.send(instruction),
            None => Err(Busy),
        }
    }

    pub(crate) fn next(&self) -> Option<Said> {
        self.members
            .values()
            .find_map(|(_, operator)| operator.next())
    }

    pub(crate) fn unheard(&self) -> u64 {
        self.members
            .values()
            .map(|(_, operator)| operator.unheard())
            .sum()
    }
}
