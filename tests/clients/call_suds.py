"""Calls one operation of a SOAP service with suds, from its WSDL alone.

    call_suds.py WSDL_URL OPERATION ARGUMENTS.json

ARGUMENTS is a JSON object. In it {"bytes_of": "path"} stands for the bytes of a file and {"base64_of": "path"} for the
base64 text of those bytes. suds leaves xs:base64Binary to its caller, so both are encoded once more here. The answer goes to
the standard output as JSON, with documents (their outer layer untouched) as {"base64": "..."}; a fault as
{"fault": code, "text": ...}.
"""

import base64
import datetime
import json
import sys

import suds
import suds.client
import suds.sudsobject

# The elements of type xs:base64Binary.
BINARY = {"bpdfdoc", "bcarstd"}


def argument(value):
    if isinstance(value, list):
        return [argument(item) for item in value]
    if not isinstance(value, dict):
        return value
    for kind, layers in (("bytes_of", 1), ("base64_of", 2)):
        if kind in value:
            with open(value[kind], "rb") as file:
                content = file.read()
            for _ in range(layers):
                content = base64.b64encode(content)
            return content.decode("ascii")
    return {name: argument(item) for name, item in value.items()}


def printable(value, name=None):
    if isinstance(value, suds.sudsobject.Object):
        return {key: printable(item, key) for key, item in suds.sudsobject.asdict(value).items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if value is not None and name in BINARY:
        return {"base64": "".join(value.split())}
    return value


def main():
    wsdl, operation, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        arguments = argument(json.load(file))
    client = suds.client.Client(wsdl, cache=None)
    try:
        answer = printable(getattr(client.service, operation)(**arguments))
    except suds.WebFault as fault:
        answer = {"fault": str(fault.fault.faultcode), "text": str(fault.fault.faultstring)}
    json.dump(answer, sys.stdout, ensure_ascii=False)


main()
