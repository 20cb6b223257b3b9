#!/bin/sh
# Makes the gSOAP client of a component from its WSDL: make.sh WSDL_URL FOLDER leaves FOLDER/call.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "$2"
wsdl2h -c -o tramite.h "$1"
soapcpp2 -c -C -L -x -w tramite.h
cc -O1 -I. -o call "$here/call.c" soapC.c soapClient.c -lgsoap
