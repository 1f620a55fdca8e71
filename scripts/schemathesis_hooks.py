"""Bodies of STOW-RS for schemathesis: what it makes up, as the one part of a multipart body, some of it named DICOM."""

import schemathesis

BOUNDARY = "made-up"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
HEAD = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()


@schemathesis.serializer('multipart/related; type="application/dicom"', "multipart/related")
def multipart(ctx, value):
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    if len(data) % 2:
        data = bytes(128) + b"DICM" + data
    return HEAD + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if (case.media_type or "").startswith("multipart/related"):
        case.headers = {**(case.headers or {}), "Content-Type": TYPE}
