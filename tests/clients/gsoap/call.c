/*
 * Calls one operation of the entity's component with gSOAP's stubs, generated from its WSDL alone (see make.sh).
 *
 *     call ADDRESS OPERATION ARGUMENTS
 *
 * ARGUMENTS is a file of lines NAME=VALUE, a field's name with those it is inside of before it
 * (recepcionRequest.lstanexos.0.vnomdoc=plano.dwg). A name that ends in :bytes_of has the path of a file whose bytes are
 * meant, one in :base64_of the path of a file whose bytes in base64 are; gSOAP encodes xs:base64Binary itself, so the latter
 * travels encoded twice. The answer goes to the standard output as JSON, with bytes (what gSOAP decoded once) as
 * {"base64": "..."}; a fault as {"fault": code, "text": ...}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "TramiteSoapBinding.nsmap"
#include "soapH.h"

static struct {
    char *name, *value;
} lines[200];
static int count;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static char *content(struct soap *soap, const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes;
    long length;
    if (!file)
        fail(path);
    fseek(file, 0, SEEK_END);
    length = ftell(file);
    rewind(file);
    bytes = soap_malloc(soap, length + 1);
    if (fread(bytes, 1, length, file) != (size_t)length)
        fail(path);
    fclose(file);
    bytes[length] = 0;
    *size = length;
    return bytes;
}

static void read_lines(struct soap *soap, const char *path)
{
    size_t size;
    char *line = strtok(content(soap, path, &size), "\n");
    for (; line; line = strtok(NULL, "\n")) {
        char *equals = strchr(line, '=');
        if (!equals || count == sizeof lines / sizeof *lines)
            fail(line);
        *equals = 0;
        lines[count].name = line;
        lines[count++].value = equals + 1;
    }
}

/* NULL if the field is absent. */
static char *text(const char *part, const char *name)
{
    char wanted[200];
    int i;
    snprintf(wanted, sizeof wanted, "%s%s%s", part, *part ? "." : "", name);
    for (i = 0; i < count; i++)
        if (!strcmp(lines[i].name, wanted))
            return lines[i].value;
    return NULL;
}

static int number(const char *part, const char *name)
{
    char *value = text(part, name);
    return value ? atoi(value) : 0;
}

static time_t *date(struct soap *soap, const char *part, const char *name)
{
    char *value = text(part, name);
    time_t *time = value ? soap_malloc(soap, sizeof *time) : NULL;
    if (time && soap_s2dateTime(soap, value, time))
        fail(value);
    return time;
}

static struct xsd__base64Binary document(struct soap *soap, const char *part, const char *name)
{
    struct xsd__base64Binary document = {0};
    char marked[100], *path;
    size_t size;
    snprintf(marked, sizeof marked, "%s:bytes_of", name);
    if ((path = text(part, marked))) {
        document.__ptr = (unsigned char *)content(soap, path, &size);
        document.__size = (int)size;
    }
    snprintf(marked, sizeof marked, "%s:base64_of", name);
    if ((path = text(part, marked))) {
        char *bytes = content(soap, path, &size);
        document.__ptr = (unsigned char *)soap_s2base64(soap, (unsigned char *)bytes, NULL, (int)size);
        document.__size = (int)strlen((char *)document.__ptr);
    }
    return document;
}

static const char *separator;

static void print_text(const char *name, const char *value)
{
    if (!value)
        return;
    printf("%s\"%s\":\"", separator, name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            printf("\\%c", *value);
        else if ((unsigned char)*value < ' ')
            printf("\\u%04x", *value);
        else
            putchar(*value);
    }
    putchar('"');
    separator = ",";
}

static void print_document(struct soap *soap, const char *name, struct xsd__base64Binary document)
{
    if (document.__ptr)
        printf("%s\"%s\":{\"base64\":\"%s\"}", separator, name,
            soap_s2base64(soap, document.__ptr, NULL, document.__size));
}

static int fault(struct soap *soap)
{
    const char **code = soap_faultcode(soap), **string = soap_faultstring(soap);
    if (!soap->fault || !code || !*code || !string || !*string || soap->error == SOAP_TCP_ERROR) {
        soap_print_fault(soap, stderr);
        return 1;
    }
    print_text("fault", *code);
    print_text("text", *string);
    return 0;
}

static int recepcionar(struct soap *soap, const char *address)
{
    const char *part = "recepcionRequest";
    struct ns1__recepcionarTramiteResponse request = {0};
    struct ns1__recepcionarTramiteResponseResponse answer = {0};
    struct ns1__RecepcionTramite tramite;
    struct ns1__documentoAnexo annexes[10];
    char name[50];
    soap_default_ns1__RecepcionTramite(soap, &tramite);
#define TEXT(field) tramite.field = text(part, #field)
    TEXT(vrucentrem), TEXT(vrucentrec), TEXT(vnomentemi), TEXT(vuniorgrem), TEXT(vcuo), TEXT(vcuoref), TEXT(ccodtipdoc);
    TEXT(vnumdoc), TEXT(vuniorgdst), TEXT(vnomdst), TEXT(vnomcardst), TEXT(vasu), TEXT(vurldocanx), TEXT(vnomdoc);
    TEXT(ctipdociderem), TEXT(vnumdociderem);
#undef TEXT
    tramite.dfecdoc = date(soap, part, "dfecdoc");
    tramite.snumanx = number(part, "snumanx");
    tramite.snumfol = number(part, "snumfol");
    tramite.bpdfdoc = document(soap, part, "bpdfdoc");
    tramite.lstanexos = annexes;
    for (tramite.__sizelstanexos = 0; tramite.__sizelstanexos < 10; tramite.__sizelstanexos++) {
        struct ns1__documentoAnexo *annex = annexes + tramite.__sizelstanexos;
        snprintf(name, sizeof name, "lstanexos.%d.vnomdoc", tramite.__sizelstanexos);
        if (!text(part, name))
            break;
        soap_default_ns1__documentoAnexo(soap, annex);
        annex->vnomdoc = text(part, name);
    }
    /* Without any field the part is left out. */
    request.recepcionRequest = count ? &tramite : NULL;
    if (soap_call___ns1__recepcionarTramiteResponse(soap, address, NULL, &request, &answer))
        return fault(soap);
    print_text("vcodres", answer.return_->vcodres);
    print_text("vdesres", answer.return_->vdesres);
    return 0;
}

static int cargo(struct soap *soap, const char *address)
{
    const char *part = "cargoRequest";
    struct ns1__cargoResponse request = {0};
    struct ns1__cargoResponseResponse answer = {0};
    struct ns1__CargoTramite cargo;
    soap_default_ns1__CargoTramite(soap, &cargo);
#define TEXT(field) cargo.field = text(part, #field)
    TEXT(vcuo), TEXT(vcuoref), TEXT(vnumregstd), TEXT(vanioregstd), TEXT(vuniorgstd), TEXT(vusuregstd), TEXT(vobs);
    TEXT(cflgest), TEXT(vdesanxstdrec);
#undef TEXT
    cargo.dfecregstd = date(soap, part, "dfecregstd");
    cargo.bcarstd = document(soap, part, "bcarstd");
    request.cargoRequest = &cargo;
    if (soap_call___ns1__cargoResponse(soap, address, NULL, &request, &answer))
        return fault(soap);
    print_text("vcodres", answer.return_->vcodres);
    print_text("vdesres", answer.return_->vdesres);
    return 0;
}

static int consultar(struct soap *soap, const char *address)
{
    struct ns1__consultarTramiteResponse request = {0};
    struct ns1__consultarTramiteResponseResponse answer = {0};
    request.request = text("", "request");
    if (soap_call___ns1__consultarTramiteResponse(soap, address, NULL, &request, &answer))
        return fault(soap);
#define TEXT(field) print_text(#field, answer.return_->field)
    TEXT(vcodres), TEXT(vdesres), TEXT(vcuo), TEXT(vcuoref), TEXT(vnumregstd), TEXT(vanioregstd), TEXT(vuniorgstd);
    TEXT(vusuregstd), TEXT(vobs), TEXT(cflgest);
#undef TEXT
    if (answer.return_->dfecregstd)
        print_text("dfecregstd", soap_dateTime2s(soap, *answer.return_->dfecregstd));
    print_document(soap, "bcarstd", answer.return_->bcarstd);
    return 0;
}

int main(int argc, char **argv)
{
    /* Strict: an answer that is not as the WSDL says is an error. */
    struct soap *soap = soap_new1(SOAP_C_UTFSTRING | SOAP_XML_STRICT);
    int status;
    if (argc != 4)
        fail("call ADDRESS OPERATION ARGUMENTS");
    read_lines(soap, argv[3]);
    soap->connect_timeout = soap->recv_timeout = soap->send_timeout = 120;
    separator = "{";
    if (!strcmp(argv[2], "recepcionarTramiteResponse"))
        status = recepcionar(soap, argv[1]);
    else if (!strcmp(argv[2], "cargoResponse"))
        status = cargo(soap, argv[1]);
    else if (!strcmp(argv[2], "consultarTramiteResponse"))
        status = consultar(soap, argv[1]);
    else
        fail(argv[2]);
    puts("}");
    soap_destroy(soap);
    soap_end(soap);
    soap_free(soap);
    return status;
}
