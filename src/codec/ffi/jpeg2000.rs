//! OpenJPEG: JPEG 2000 both ways, and HTJ2K one way as the second opinion on what OpenJPH encodes.

use openjpeg_sys as opj;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// Bytes OpenJPEG takes from or gives to a stream at once.
const STREAM: usize = 1 << 20;

/// What the header of a codestream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: u32,
    pub(crate) precision: u32,
    pub(crate) signed: bool,
}

/// Bytes that are read, with the position.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Bytes that are written, with the position.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    at: usize,
}

/// Every callback gets the address that was set as user data beside it, alive as long as the stream.
unsafe extern "C" fn read(buffer: *mut c_void, len: usize, data: *mut c_void) -> usize {
    // SAFETY: `data` is the `Input` of the stream; `buffer` has room for `len` bytes.
    unsafe {
        let input = &mut *data.cast::<Input<'_>>();
        let rest = input.bytes.get(input.at..).unwrap_or_default();
        let count = rest.len().min(len);
        if count == 0 {
            return usize::MAX;
        }
        ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast(), count);
        input.at += count;
        count
    }
}

unsafe extern "C" fn skip_input(count: i64, data: *mut c_void) -> i64 {
    // SAFETY: `data` is the `Input` of the stream.
    let input = unsafe { &mut *data.cast::<Input<'_>>() };
    let left = input.bytes.len().saturating_sub(input.at);
    let step = usize::try_from(count).unwrap_or(0).min(left);
    if step == 0 {
        return -1;
    }
    input.at += step;
    i64::try_from(step).unwrap_or(-1)
}

unsafe extern "C" fn seek_input(at: i64, data: *mut c_void) -> i32 {
    // SAFETY: `data` is the `Input` of the stream.
    let input = unsafe { &mut *data.cast::<Input<'_>>() };
    match usize::try_from(at) {
        Ok(at) if at <= input.bytes.len() => {
            input.at = at;
            1
        }
        _ => 0,
    }
}

unsafe extern "C" fn write(buffer: *mut c_void, len: usize, data: *mut c_void) -> usize {
    // SAFETY: `data` is the `Output` of the stream; `buffer` holds `len` bytes.
    let (output, bytes) = unsafe {
        let output = &mut *data.cast::<Output>();
        (output, std::slice::from_raw_parts(buffer.cast::<u8>(), len))
    };
    let end = output.at.saturating_add(len);
    if output.bytes.len() < end {
        output.bytes.resize(end, 0);
    }
    if let Some(place) = output.bytes.get_mut(output.at..end) {
        place.copy_from_slice(bytes);
    }
    output.at = end;
    len
}

unsafe extern "C" fn skip_output(count: i64, data: *mut c_void) -> i64 {
    // SAFETY: `data` is the `Output` of the stream.
    let output = unsafe { &mut *data.cast::<Output>() };
    match usize::try_from(count) {
        Ok(step) => {
            output.at = output.at.saturating_add(step);
            count
        }
        Err(_) => -1,
    }
}

unsafe extern "C" fn seek_output(at: i64, data: *mut c_void) -> i32 {
    // SAFETY: `data` is the `Output` of the stream.
    let output = unsafe { &mut *data.cast::<Output>() };
    match usize::try_from(at) {
        Ok(at) => {
            output.at = at;
            1
        }
        Err(_) => 0,
    }
}

/// The first message is kept: what follows is mostly its echo.
unsafe extern "C" fn heard(message: *const c_char, data: *mut c_void) {
    // SAFETY: `data` is the text of the session; OpenJPEG gives texts that end in a zero byte.
    let (said, message) = unsafe { (&mut *data.cast::<Said>(), CStr::from_ptr(message)) };
    if said.text.is_empty() {
        message.to_string_lossy().trim().clone_into(&mut said.text);
    }
}

/// One use of OpenJPEG: everything it made, given back together.
struct Session {
    codec: *mut opj::opj_codec_t,
    stream: *mut opj::opj_stream_t,
    image: *mut opj::opj_image_t,
    /// Boxed, so that its address stays.
    said: Box<Said>,
}

/// What OpenJPEG complained of.
#[derive(Default)]
struct Said {
    text: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: each was made by OpenJPEG and is given back once; its functions take null.
        unsafe {
            if !self.stream.is_null() {
                opj::opj_stream_destroy(self.stream);
            }
            if !self.codec.is_null() {
                opj::opj_destroy_codec(self.codec);
            }
            if !self.image.is_null() {
                opj::opj_image_destroy(self.image);
            }
        }
    }
}

impl Session {
    fn new(codec: *mut opj::opj_codec_t) -> Result<Self, String> {
        let mut session = Self { codec, stream: ptr::null_mut(), image: ptr::null_mut(), said: Box::default() };
        if codec.is_null() {
            return Err("no memory".into());
        }
        let said = ptr::from_mut::<Said>(&mut session.said).cast();
        // SAFETY: the codec lives, and the text stays at its address as long as the session does.
        unsafe {
            opj::opj_set_error_handler(codec, Some(heard), said);
        }
        Ok(session)
    }

    fn done(&self, ok: i32, what: &str) -> Result<(), String> {
        if ok != 0 {
            return Ok(());
        }
        Err(if self.said.text.is_empty() { what.to_owned() } else { self.said.text.clone() })
    }
}

/// An opened codestream. Reads from the bytes only inside of its own calls.
pub(crate) struct Decoder<'a> {
    session: Session,
    /// Boxed, so that its address stays; read by the stream.
    _input: Box<Input<'a>>,
    header: Header,
}

impl<'a> Decoder<'a> {
    /// Reads the header of a codestream, bare or in a JP2 file.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(Self, Header), String> {
        let boxed = bytes.get(4..8) == Some(b"jP  ");
        let kind = if boxed { opj::CODEC_FORMAT::OPJ_CODEC_JP2 } else { opj::CODEC_FORMAT::OPJ_CODEC_J2K };
        // SAFETY: takes a constant; null means that there was no memory.
        let mut session = Session::new(unsafe { opj::opj_create_decompress(kind) })?;
        let mut input = Box::new(Input { bytes, at: 0 });
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // SAFETY: codec and stream live as long as the session, the input as long as the decoder that holds both;
        // the parameters are initialised by OpenJPEG before they are used.
        let ok = unsafe {
            let mut parameters = std::mem::zeroed::<opj::opj_dparameters_t>();
            opj::opj_set_default_decoder_parameters(&raw mut parameters);
            // Palettes and channel definitions of a JP2 file would contradict the attributes, which count.
            parameters.flags |= 0x0001;
            session.stream = opj::opj_stream_create(STREAM, 1);
            if session.stream.is_null() {
                return Err("no memory".into());
            }
            opj::opj_stream_set_user_data(session.stream, ptr::from_mut(&mut *input).cast(), None);
            opj::opj_stream_set_user_data_length(session.stream, len);
            opj::opj_stream_set_read_function(session.stream, Some(read));
            opj::opj_stream_set_skip_function(session.stream, Some(skip_input));
            opj::opj_stream_set_seek_function(session.stream, Some(seek_input));
            let ready = opj::opj_setup_decoder(session.codec, &raw mut parameters);
            session.done(ready, "the decoder cannot be set up")?;
            opj::opj_decoder_set_strict_mode(session.codec, 1);
            opj::opj_read_header(session.stream, session.codec, &raw mut session.image)
        };
        session.done(ok, "the header cannot be read")?;
        let header = described(session.image)?;
        Ok((Self { session, _input: input, header }, header))
    }

    /// Decodes, samples of a pixel together.
    pub(crate) fn decode(self) -> Result<Vec<i32>, String> {
        let session = &self.session;
        // SAFETY: all three live; OpenJPEG allocates the components itself, by the header that was checked.
        let ok = unsafe { opj::opj_decode(session.codec, session.stream, session.image) };
        session.done(ok, "the codestream cannot be decoded")?;
        if described(session.image)? != self.header {
            return Err("the header changed".into());
        }
        let count = |part: u32| usize::try_from(part).map_err(|_| "an image beyond memory".to_owned());
        let pixels =
            count(self.header.rows)?.checked_mul(count(self.header.columns)?).ok_or("an image beyond memory")?;
        let components = count(self.header.components)?;
        let mut out = vec![0i32; pixels.checked_mul(components).ok_or("an image beyond memory")?];
        for component in 0..components {
            // SAFETY: the image has `components` of them, and each has `rows × columns` values where it has any.
            let plane = unsafe {
                let data = (*(*session.image).comps.add(component)).data;
                if data.is_null() {
                    return Err("a component without samples".into());
                }
                std::slice::from_raw_parts(data, pixels)
            };
            out.iter_mut().skip(component).step_by(components).zip(plane).for_each(|(to, from)| *to = *from);
        }
        Ok(out)
    }
}

/// The header of an image that OpenJPEG made.
fn described(image: *const opj::opj_image_t) -> Result<Header, String> {
    if image.is_null() {
        return Err("no image".into());
    }
    // SAFETY: the image lives, and has `numcomps` components.
    let components = unsafe {
        let image = &*image;
        if image.comps.is_null() || image.numcomps == 0 {
            return Err("an image without components".into());
        }
        std::slice::from_raw_parts(image.comps, usize::try_from(image.numcomps).unwrap_or(0))
    };
    let first = components.first().ok_or("an image without components")?;
    for component in components {
        if (component.dx, component.dy) != (1, 1) || (component.w, component.h) != (first.w, first.h) {
            return Err("a component with fewer samples than pixels".into());
        }
        if (component.prec, component.sgnd) != (first.prec, first.sgnd) {
            return Err("components of different bits".into());
        }
    }
    let count = u32::try_from(components.len()).map_err(|_| "too many components")?;
    let signed = first.sgnd != 0;
    Ok(Header { rows: first.h, columns: first.w, components: count, precision: first.prec, signed })
}

/// Encodes samples of a pixel together; `transform` decorrelates red, green and blue. Losslessly without `decibels`, else
/// irreversibly, so that the noise is that far below the greatest value of the precision; 0 leaves nothing out.
pub(crate) fn encode(
    values: &[i32],
    header: &Header,
    transform: bool,
    decibels: Option<u16>,
) -> Result<Vec<u8>, String> {
    let count = |part: u32| usize::try_from(part).map_err(|_| "an image beyond memory".to_owned());
    let (rows, columns, components) = (count(header.rows)?, count(header.columns)?, count(header.components)?);
    let pixels = rows.checked_mul(columns).ok_or("an image beyond memory")?;
    if pixels.checked_mul(components) != Some(values.len()) {
        return Err("another number of samples than pixels".into());
    }
    // SAFETY: takes a constant; null means that there was no memory.
    let mut session = Session::new(unsafe { opj::opj_create_compress(opj::CODEC_FORMAT::OPJ_CODEC_J2K) })?;
    session.image = image_of(values, header, pixels, components)?;
    let mut output = Box::new(Output::default());
    // SAFETY: codec, stream and image live as long as the session, the output longer; the parameters are initialised
    // by OpenJPEG before they are used.
    unsafe {
        let mut parameters = std::mem::zeroed::<opj::opj_cparameters_t>();
        opj::opj_set_default_encoder_parameters(&raw mut parameters);
        parameters.tcp_numlayers = 1;
        parameters.tcp_rates[0] = 0.0;
        match decibels {
            None => parameters.cp_disto_alloc = 1,
            Some(decibels) => {
                parameters.cp_fixed_quality = 1;
                parameters.tcp_distoratio[0] = f32::from(decibels);
            }
        }
        parameters.irreversible = i32::from(decibels.is_some());
        parameters.tcp_mct = c_char::from(transform);
        parameters.numresolution = resolutions(header.rows.min(header.columns));
        let ready = opj::opj_setup_encoder(session.codec, &raw mut parameters, session.image);
        session.done(ready, "the encoder cannot be set up")?;
        session.stream = opj::opj_stream_create(STREAM, 0);
        if session.stream.is_null() {
            return Err("no memory".into());
        }
        opj::opj_stream_set_user_data(session.stream, ptr::from_mut(&mut *output).cast(), None);
        opj::opj_stream_set_write_function(session.stream, Some(write));
        opj::opj_stream_set_skip_function(session.stream, Some(skip_output));
        opj::opj_stream_set_seek_function(session.stream, Some(seek_output));
        session.done(opj::opj_start_compress(session.codec, session.image, session.stream), "encoding cannot begin")?;
        session.done(opj::opj_encode(session.codec, session.stream), "the image cannot be encoded")?;
        session.done(opj::opj_end_compress(session.codec, session.stream), "encoding cannot end")?;
    }
    drop(session);
    Ok(output.bytes)
}

/// Six resolutions as usual, fewer for small images.
fn resolutions(side: u32) -> i32 {
    let halvings = side.max(1).ilog2();
    i32::try_from(halvings.min(5) + 1).unwrap_or(1)
}

fn image_of(
    values: &[i32],
    header: &Header,
    pixels: usize,
    components: usize,
) -> Result<*mut opj::opj_image_t, String> {
    // SAFETY: the parameters are plain numbers, for which zero is a value; OpenJPEG copies them and allocates
    // `rows × columns` values for every component.
    unsafe {
        let mut one = std::mem::zeroed::<opj::opj_image_cmptparm_t>();
        (one.dx, one.dy, one.w, one.h) = (1, 1, header.columns, header.rows);
        (one.prec, one.bpp, one.sgnd) = (header.precision, header.precision, u32::from(header.signed));
        let mut all = vec![one; components];
        let space = if components == 1 { opj::COLOR_SPACE::OPJ_CLRSPC_GRAY } else { opj::COLOR_SPACE::OPJ_CLRSPC_SRGB };
        let image = opj::opj_image_create(header.components, all.as_mut_ptr(), space);
        if image.is_null() {
            return Err("no memory".into());
        }
        ((*image).x1, (*image).y1) = (header.columns, header.rows);
        for component in 0..components {
            let data = (*(*image).comps.add(component)).data;
            if data.is_null() {
                opj::opj_image_destroy(image);
                return Err("no memory".into());
            }
            let plane = std::slice::from_raw_parts_mut(data, pixels);
            let from = values.iter().skip(component).step_by(components);
            plane.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(image)
    }
}
