"""Words that mean the default statuses in other languages and programs, and can't mean anything else."""

_WORDS = {
    "Active": """
        active enabled aktiv aktive aktiver aktivt actif activo activa attivo attiva ativo ativa actief
        aktywny aktywna
    """,
    "Inactive": """
        inactive disabled deactivated inaktiv inaktive inaktiver inaktivt inactif inactivo inactiva inattivo
        inattiva
        inativo inativa inactief nieaktywny nieaktywna
    """,
}


def status_words(statuses: tuple[str, ...]) -> dict[str, str]:
    """Case-folded words, each with the status that it means, for those of our statuses that are in use."""
    return {
        word.casefold(): status
        for status, words in _WORDS.items()
        if status in statuses
        for word in words.split()
    }
