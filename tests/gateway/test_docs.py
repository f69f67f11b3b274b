"""The documentation page, as somebody without internet opens it."""

import re

import httpx

from tests.support.live_exchange import LiveExchange


def test_every_tag_of_the_document_is_used_and_explained(live: LiveExchange) -> None:
    document = httpx.get(f"{live.url}/openapi.json").json()
    used = {tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


def test_docs_page_names_no_other_host_and_its_files_are_served(live: LiveExchange) -> None:
    page = httpx.get(f"{live.url}/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith("/"), source
        assert httpx.get(live.url + source).status_code == 200, source
