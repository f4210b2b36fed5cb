//! The commands of a queue: of timer handles on this CPU or others, and of the timers' functions.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::arming::{self, Number};

use super::{COMMANDS, Queue};
use crate::apic::local as apic;
use crate::timer::inbox::Command;
use crate::timer::node::{self, NEVER, Node};

impl Queue {
    /// Executes the command of the handle's operation `number`. The node may be freed afterwards.
    /// On the owner, at the timers' class.
    pub(in crate::timer) fn execute(
        &self,
        pointer: NonNull<Node>,
        number: Number,
        command: Command,
    ) {
        // SAFETY: A node with a command is only freed by the code that executes the command.
        let node = unsafe { pointer.as_ref() };
        node.number.set(number);
        match command {
            Command::Arm { deadline, period } => self.insert(pointer, deadline, period),
            Command::Cancel => self.insert(pointer, NEVER, 0),
            Command::Close { owner_frees: false } => {
                self.remove(pointer);
                // Release: a handle that reads `true` may free the node, unless its function runs.
                node.closed.store(true, Ordering::Release);
            }
            Command::Close { owner_frees: true } => {
                self.remove(pointer);
                // SAFETY: This is the owner. The node is out of the queue, and this was the last
                // command.
                unsafe { node::release_for_dropper(pointer) };
            }
        }
    }

    /// Removes a dropped timer from the queue and the registry.
    fn remove(&self, pointer: NonNull<Node>) {
        self.insert(pointer, NEVER, 0);
        if let Some(registry) = self.storage.registry() {
            registry.remove(pointer);
        }
    }

    /// Closes a timer that is dropped on this CPU, by the handle's operation `number`. Returns
    /// whether it is closed. If not, a notification of an earlier command is pending, and this CPU
    /// closes and frees the timer when it handles that. On the owner, at the timers' class.
    pub(in crate::timer) fn close_on_owner(&self, pointer: NonNull<Node>, number: Number) -> bool {
        // SAFETY: The handle has not closed it yet.
        let arming = unsafe { &pointer.as_ref().arming };
        if arming.is_notified() {
            self.post(pointer, number, Command::Close { owner_frees: true });
            return false;
        }
        self.execute(pointer, number, Command::Close { owner_frees: false });
        true
    }

    /// Executes a command of the function, which was called for operation `number`, unless the
    /// handle has done another operation since. On the owner, at the timers' class.
    pub(in crate::timer) fn rearm(&self, pointer: NonNull<Node>, number: Number, command: Command) {
        // SAFETY: The function runs, so the node is not freed.
        let node = unsafe { pointer.as_ref() };
        let is_started = matches!(command, Command::Arm { .. });
        if node.arming.rearm(number, is_started) {
            node.withdraw_rerun();
            self.execute(pointer, number, command);
        }
    }

    /// Executes other CPUs' commands. On the owner, at the timers' class.
    pub(in crate::timer) fn execute_commands(&self) {
        self.inbox.drain(|pointer| {
            // SAFETY: The node is not freed before its last command is executed.
            let node = unsafe { pointer.as_ref() };
            if let Some(command) = node.arming.take() {
                self.execute(pointer, command.number, Command::from_words(command.words));
            }
        });
    }

    /// Posts a command to the owner, another CPU. Does not wait. After the last command, the node
    /// belongs to the owner.
    pub(in crate::timer) fn post(&self, pointer: NonNull<Node>, number: Number, command: Command) {
        // SAFETY: The node is not freed before its last command is executed, which may be this one.
        let arming = unsafe { &pointer.as_ref().arming };
        let words = command.to_words();
        if !arming.publish(arming::Command { number, words }) {
            // A notification is pending, and the owner takes this command.
            return;
        }
        self.inbox.push(pointer);
        apic()
            .send_fixed(COMMANDS, Destination::Physical(self.apic_id))
            .expect("the ID of a CPU that is online fits the mode");
    }
}
