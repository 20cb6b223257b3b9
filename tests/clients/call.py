"""Calls one operation of a SOAP service with zeep, from its WSDL alone.

    call.py WSDL_URL OPERATION ARGUMENTS.json

ARGUMENTS is a JSON object. In it {"bytes_of": "path"} stands for the bytes of a file and {"base64_of": "path"} for the
base64 text of those bytes; zeep encodes xs:base64Binary itself, so the latter travels encoded twice. The answer goes to the
standard output as JSON, with bytes (what zeep decoded once) as {"base64": "..."}; a fault as {"fault": code, "text": ...}.
"""

import base64
import datetime
import json
import sys

import zeep
import zeep.exceptions
import zeep.helpers


def argument(value):
    if isinstance(value, list):
        return [argument(item) for item in value]
    if not isinstance(value, dict):
        return value
    for kind, encode in (("bytes_of", bytes), ("base64_of", base64.b64encode)):
        if kind in value:
            with open(value[kind], "rb") as file:
                return encode(file.read())
    return {name: argument(item) for name, item in value.items()}


def printable(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value)} in an answer")


def main():
    wsdl, operation, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        arguments = argument(json.load(file))
    # Strict: an answer that is not as the WSDL says is an error. A cargo may be one text of many megabytes.
    client = zeep.Client(wsdl, settings=zeep.Settings(strict=True, xml_huge_tree=True))
    try:
        answer = client.service[operation](**arguments)
    except zeep.exceptions.Fault as fault:
        answer = {"fault": fault.code, "text": fault.message}
    json.dump(zeep.helpers.serialize_object(answer, dict), sys.stdout, default=printable, ensure_ascii=False)


main()
