"""The titles under which address books, CRMs and shops keep what our columns hold, in order of preference.

Each line of a table is a rank: of columns of several ranks each row takes the first that isn't empty; two
columns of one rank are a question. Titles stand here as `normalise` makes them: lower case, without accents,
spaces and punctuation. English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Scandinavian.
"""

import re
import unicodedata

from clients.contract.columns import BY_FIELD, COLUMNS, Column

_RANKS = {
    "name": """
        name fullname clientname customername contactname displayname client customer contact contactperson
            vollstandigername kundenname ansprechpartner kontakt kontaktname kunde nomcomplet nomduclient
            nombrecompleto nombredelcliente cliente nomecompleto nomedocliente naam volledigenaam klantnaam
            imieinazwisko klient navn namn fulltnavn fuldenavn fulltnamn kundenavn kundnamn

    """,
    "email": """
        email emailaddress mail emails emailadresse mailadresse adresseemail adressemail courriel
            adressecourriel
            correo correoelectronico direcciondecorreo direcciondecorreoelectronico indirizzoemail
            postaelettronica enderecodeemail endereçodeemail emailadres adresemail epost epostadresse
            epostadress
        primaryemail emailprimary primaryemailaddress contactemail customeremail
        email1value email1 email1address
        workemail emailwork businessemail emailbusiness officeemail emailgeschaftlich emailprofessionnel
        homeemail emailhome personalemail emailpersonal emailprivat privateemail
        email2value email2 email2address
        otheremail emailother secondaryemail
        email3value email3 email3address
        billingemail
        shippingemail
    """,
    "company": """
        company companyname firma firmenname unternehmen unternehmensname entreprise nomdelentreprise societe
            nomdelasociete raisonsociale empresa nombredelaempresa razonsocial azienda nomeazienda societa
            ragionesociale nomedaempresa bedrijf bedrijfsnaam nazwafirmy przedsiebiorstwo foretag foretagsnamn
            virksomhed virksomhedsnavn firmanavn bedrift bedriftsnavn business businessname
        organization organisation organizationname organisationname account accountname organisatie
            organisationsname
            organizacion organizzazione organizacao organizacja organisasjon companyaccount
        associatedcompany primaryassociatedcompany parentcompany
        billingcompany defaultaddresscompany addresscompany
        shippingcompany
        employer
    """,
    "phone": """
        phone phonenumber telephone telephonenumber tel telno phoneno telefon telefonnummer telefonnr
            rufnummer
            numerodetelephone telefono numerodetelefono numeroditelefono telefone numerodetelefone telefoon
            telefoonnummer numertelefonu nrtelefonu tlf tlfnr
        primaryphone phoneprimary mainphone phonemain
        phone1value phone1
        businessphone phonebusiness workphone phonework officephone phoneoffice companyphone directphone
            telefongeschaftlich telefongeschaeftlich telefonarbeit telefonburo telephoneprofessionnel
            telprofessionnel telephonebureau telefonotrabajo telefonodeltrabajo telefonoufficio
            telefonocomercial
            telefonozakelijk telefoonwerk telefonsluzbowy telefonarbete telefonarbejde
        mobile mobilephone phonemobile mobilenumber mobileno cell cellphone cellnumber handy handynummer mobil
            mobiltelefon mobilnummer mobiltelefonnummer portable telephoneportable telportable movil
            telefonomovil
            celular cellulare telefonocellulare telemovel mobiel mobielnummer komorka telefonkomorkowy
        homephone phonehome telefonprivat telephonedomicile telefonocasa telefonoparticular telefoonthuis
        otherphone phoneother
        phone2value phone2 businessphone2
        phone3value phone3
        billingphone defaultaddressphone addressphone
        shippingphone
    """,
    "status": """
        status clientstatus customerstatus contactstatus kundenstatus statut estado stato situacao stan
            statusklienta
    """,
}
_FIRST = """
    firstname first givenname forename vorname rufname prenom nombre nombres nome primeironome nomeproprio
    voornaam imie
    fornavn fornamn
"""
_LAST = """
    lastname last surname familyname nachname familienname zuname nomdefamille nom apellidos apellido
    cognome sobrenome
    apelido achternaam nazwisko etternavn efternavn efternamn
"""


def _ranks(table: str) -> dict[str, int]:
    """The rank of each title; an indented line goes on with the one before."""
    found: dict[str, int] = {}
    rank = -1
    for line in table.splitlines():
        if line.strip():
            rank += not line.startswith(" " * 12)
            found |= dict.fromkeys(map(normalise, line.split()), rank)
    return found


_PUNCTUATION = re.compile(r"[^0-9a-zα-ωа-яёіїєґ]+")
_REMARK = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*$")
# "Person - Email - Work", "Contact: Phone": whose column it is, in exports of several tables at once.
_OWNER = re.compile(
    r"^(?:person|people|contact|client|customer|lead|kontakt|kunde|contacto)\s*(?:[-–:.>/]|::)\s*", re.I
)


def normalise(title: str) -> str:
    """A title without case, accents, spaces and punctuation."""
    plain = unicodedata.normalize("NFKD", title.replace("ß", "ss").replace("ø", "o").replace("ł", "l"))
    return _PUNCTUATION.sub("", "".join(c for c in plain if not unicodedata.combining(c)).casefold())


# A column's own titles are of the first rank, unless the tables say otherwise.
RANKS = {
    column.field: {
        **{normalise(title): 0 for title in (column.title, *column.aliases)},
        **_ranks(_RANKS.get(column.field, "")),
    }
    for column in COLUMNS
}
FIRST_NAMES = frozenset(map(normalise, _FIRST.split()))
LAST_NAMES = frozenset(map(normalise, _LAST.split()))
# Where there is a column of first names, these are the family name: "Vorname; Name", "Prénom; Nom".
ALSO_LAST_NAMES = frozenset({"name", "naam", "navn", "namn", "nom"})


def readings(title: str) -> list[str]:
    """What a title may mean, normalised: as it stands, without a remark in brackets, without its owner."""
    bare = _REMARK.sub("", title)
    return [normalise(text) for text in (title, bare, _OWNER.sub("", title), _OWNER.sub("", bare))]


def rank_of(title: str) -> tuple[str, int] | None:
    """The field that a title names, and by which rank; None for a title that we don't know."""
    for reading in readings(title):
        for field, ranks in RANKS.items():
            if reading in ranks:
                return field, ranks[reading]
    return None


def column_of(title: str) -> Column | None:
    """The column that a title feeds, if only in part."""
    if ranked := rank_of(title):
        return BY_FIELD[ranked[0]]
    is_part_of_a_name = any(reading in FIRST_NAMES | LAST_NAMES for reading in readings(title))
    return BY_FIELD["name"] if is_part_of_a_name else None


def is_own(title: str, column: Column) -> bool:
    """Whether a title is the column's own, or one of its aliases."""
    return normalise(title) in map(normalise, (column.title, *column.aliases))
