//! A peer that says exactly what a test wants, right or wrong.

use super::server::PATIENCE;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, UserVariableItem, read_pdu, write_pdu,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(crate) const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(crate) const IMPLICIT: &str = "1.2.840.10008.1.2";

/// A-ABORT by the provider with a reason.
pub(crate) fn provider_abort(reason: u8) -> (u8, Vec<u8>) {
    (7, vec![0, 0, 2, reason])
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
    }

    /// The next PDU: its type and what follows the header; none at the end of the connection.
    pub(crate) fn pdu(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0u8; 6];
        self.stream.read_exact(&mut header).ok()?;
        let length = u32::from_be_bytes(header[2..].try_into().expect("4 bytes"));
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body).ok()?;
        Some((header[0], body))
    }

    /// Whether the connection ends here.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0)) || self.stream.peer_addr().is_err()
    }

    pub(crate) fn associate(&mut self, called: &str, calling: &str) -> AssociationAC {
        self.send(&encode(&request(called, calling)));
        let (kind, body) = self.pdu().expect("an answer");
        assert_eq!(kind, 2, "not accepted: {body:?}");
        accepted(&body)
    }

    pub(crate) fn command(&mut self, context: u8, command: &[u8]) {
        self.send(&pdata(&[pdv(context, 3, command)]));
    }

    /// Sends one object and returns the status; data in PDVs of `size` bytes.
    pub(crate) fn store(&mut self, instance: &str, data: &[u8], size: usize) -> u16 {
        self.command(1, &store_command(CT, instance));
        let mut chunks = data.chunks(size).peekable();
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { 2 } else { 0 };
            self.send(&pdata(&[pdv(1, last, chunk)]));
        }
        self.status()
    }

    /// The status of the next response.
    pub(crate) fn status(&mut self) -> u16 {
        let (kind, body) = self.pdu().expect("a response");
        assert_eq!(kind, 4, "no response but {body:?}");
        let command = body.get(6..).expect("a PDV");
        u16::from_le_bytes(element(command, 0x0900).expect("a status").try_into().expect("US"))
    }

    pub(crate) fn echo(&mut self) -> u16 {
        self.command(5, &command_set(crate::VERIFICATION, None, 0x0030, false));
        self.status()
    }

    pub(crate) fn release(&mut self) {
        self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        assert_eq!(self.pdu(), Some((6, vec![0; 4])));
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
        assert!(self.is_closed());
    }
}

/// Context 1 CT, 3 MR, 5 verification.
pub(crate) fn request(called: &str, calling: &str) -> AssociationRQ {
    let context = |id, class: &str| PresentationContextProposed {
        id,
        abstract_syntax: class.into(),
        transfer_syntaxes: vec![IMPLICIT.into(), EXPLICIT.into()],
    };
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.into(),
        called_ae_title: called.into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![context(1, CT), context(3, MR), context(5, crate::VERIFICATION)],
        user_variables: vec![
            UserVariableItem::MaxLength(16_384),
            UserVariableItem::ImplementationClassUID("1.2.3.4".into()),
        ],
    }
}

pub(crate) fn encode(request: &AssociationRQ) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRQ(request.clone())).expect("encodable");
    bytes
}

fn accepted(body: &[u8]) -> AssociationAC {
    let mut whole = vec![2, 0];
    whole.extend((body.len() as u32).to_be_bytes());
    whole.extend(body);
    match read_pdu(whole.as_slice(), 1 << 20, true) {
        Ok(Some(Pdu::AssociationAC(answer))) => answer,
        other => panic!("no A-ASSOCIATE-AC: {other:?}"),
    }
}

pub(crate) fn pdv(context: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32 + 2).to_be_bytes().to_vec();
    out.extend([context, control]);
    out.extend(data);
    out
}

pub(crate) fn pdata(pdvs: &[Vec<u8>]) -> Vec<u8> {
    let body = pdvs.concat();
    let mut out = vec![4, 0];
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

pub(crate) fn store_command(class: &str, instance: &str) -> Vec<u8> {
    command_set(class, Some(instance), 0x0001, true)
}

pub(crate) fn command_set(class: &str, instance: Option<&str>, field: u16, data: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |number: u16, value: &[u8]| {
        let padded = value.len() + value.len() % 2;
        out.extend([0, 0]);
        out.extend(number.to_le_bytes());
        out.extend((padded as u32).to_le_bytes());
        out.extend(value);
        out.resize(out.len() + value.len() % 2, 0);
    };
    put(0x0002, class.as_bytes());
    put(0x0100, &field.to_le_bytes());
    put(0x0110, &77u16.to_le_bytes());
    put(0x0800, &(if data { 0u16 } else { 0x0101 }).to_le_bytes());
    if let Some(instance) = instance {
        put(0x1000, instance.as_bytes());
    }
    out
}

/// The value of an element of a command set.
pub(crate) fn element(mut command: &[u8], number: u16) -> Option<Vec<u8>> {
    while command.len() >= 8 {
        let (header, rest) = command.split_at(8);
        let length = u32::from_le_bytes(header[4..].try_into().expect("4 bytes")) as usize;
        let (value, after) = rest.split_at(length);
        if header[2..4] == number.to_le_bytes() {
            return Some(value.to_vec());
        }
        command = after;
    }
    None
}
