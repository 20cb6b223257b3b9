-- The tables of the reference component, as CONTRACT.md §10 tells them: keys are smallint numbered by sequences that no column
-- names, as an application does it that asks for the number first.
CREATE SCHEMA esq_iotramite;
SET search_path TO esq_iotramite;
CREATE SEQUENCE seq_iotdtc_despacho;
CREATE SEQUENCE seq_iotdtc_recepcion;
CREATE SEQUENCE seq_iotdtm_doc_externo;
CREATE SEQUENCE seq_iotdtd_doc_principal;
CREATE SEQUENCE seq_iotdtd_anexo;
CREATE TABLE iotdtc_despacho (
    sidemiext smallint PRIMARY KEY,
    vnumregstd varchar(14) NOT NULL, vanioregstd char(4) NOT NULL,
    ctipdociderem char(1), vnumdociderem varchar(9), vcoduniorgrem varchar(15), vuniorgrem varchar(250),
    vcuo varchar(10), vrucentrec char(11) NOT NULL, vnomentrec varchar(200),
    vnumregstdrec varchar(14), vanioregstdrec char(4), dfecregstdrec timestamp, vuniorgstdrec varchar(250),
    vusuregstdrec varchar(150), bcarstdrec bytea, vobs varchar(250), vdesanxstdrec varchar(500),
    vcuoref varchar(10), cflgest char(1) NOT NULL DEFAULT 'P', cflgenv char(1) NOT NULL DEFAULT 'N', dfecenv timestamp,
    vusureg varchar(15), dfecreg timestamp DEFAULT now(), vusumod varchar(15), dfecmod timestamp,
    cflganu char(1) DEFAULT 'N', vdesanu varchar(250)
);
CREATE TABLE iotdtc_recepcion (
    sidrecext smallint PRIMARY KEY,
    vrucentrem char(11) NOT NULL, vuniorgrem varchar(250), ctipdociderem char(1), vnumdociderem varchar(9),
    vnumregstd varchar(14), vanioregstd char(4), vuniorgstd varchar(250), ccoduniorgstd varchar(15), vdesanxstd varchar(500),
    dfecregstd timestamp, vusuregstd varchar(100), bcarstd bytea, vcuo varchar(10) NOT NULL, vcuoref varchar(10),
    vobs varchar(250), cflgest char(1) NOT NULL DEFAULT 'P', cflgenvcar char(1) NOT NULL DEFAULT 'N', cflgestobs char(1),
    cflganu char(1) DEFAULT 'N', dfecreg timestamp, dfecmod timestamp
);
CREATE TABLE iotdtm_doc_externo (
    siddocext smallint PRIMARY KEY,
    vnomentemi varchar(250), ccodtipdoc char(2), vnumdoc varchar(100), dfecdoc timestamp, vuniorgdst varchar(150),
    vnomdst varchar(100), vnomcardst varchar(100), vasu varchar(500), cindtup char(1), snumanx smallint, snumfol smallint,
    vurldocanx varchar(200),
    sidemiext smallint REFERENCES iotdtc_despacho, sidrecext smallint REFERENCES iotdtc_recepcion
);
CREATE TABLE iotdtd_doc_principal (
    siddocpri smallint PRIMARY KEY,
    siddocext smallint NOT NULL REFERENCES iotdtm_doc_externo, vnomdoc varchar(200) NOT NULL, bpdfdoc bytea NOT NULL,
    dfecreg timestamp
);
CREATE TABLE iotdtd_anexo (
    siddocanx smallint PRIMARY KEY,
    siddocext smallint NOT NULL REFERENCES iotdtm_doc_externo, vnomdoc varchar(100), dfecreg timestamp
);
