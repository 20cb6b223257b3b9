"""Judges the signatures of PDFs with pyHanko.

    judge_pdf.py judge ANCHORS.pem FILE     a line of JSON for each signature, in the order of signing
    judge_pdf.py make OUT                   a PDF whose tables and objects are in streams
"""

import json
import pathlib
import sys

from asn1crypto import pem, x509
from pyhanko.pdf_utils import generic, writer
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext


def anchors(path):
    data = pathlib.Path(path).read_bytes()
    return [x509.Certificate.load(der) for _, _, der in pem.unarmor(data, multiple=True)]


def judge(roots, path):
    with open(path, "rb") as file:
        for signature in PdfFileReader(file).embedded_signatures:
            context = ValidationContext(trust_roots=roots, allow_fetching=False)
            status = validate_pdf_signature(signature, context, ts_validation_context=context)
            stamp = status.timestamp_validity
            print(json.dumps({
                "field": signature.field_name,
                "intact": status.intact,
                "valid": status.valid,
                "trusted": status.trusted,
                "bottom_line": status.bottom_line,
                "coverage": status.coverage.name,
                "modifications": status.modification_level.name if status.modification_level else None,
                "timestamp": bool(stamp and stamp.intact and stamp.valid and stamp.trusted) if stamp else None,
                "subfilter": str(signature.sig_object["/SubFilter"]),
            }))


def make(path):
    out = writer.PdfFileWriter(stream_xrefs=True)
    content = out.add_object(generic.StreamObject(stream_data=b"0 0 m 100 100 l S"))
    page = writer.PageObject(contents=content, media_box=(0, 0, 595, 842))
    out.insert_page(page)
    with open(path, "wb") as file:
        out.write(file)


if __name__ == "__main__":
    if sys.argv[1] == "judge":
        judge(anchors(sys.argv[2]), sys.argv[3])
    else:
        make(sys.argv[2])
