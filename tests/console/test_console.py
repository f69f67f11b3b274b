"""The console in a real browser, on a real exchange: what people do with it, by mouse, by keyboard and on a phone."""

import re

from playwright.sync_api import Page, expect

from tests.console.browser import DESK, PHONE, Open
from tests.support.live_exchange import LiveExchange, User

BALANCES = "#pane-balances"


def trader(live: LiveExchange) -> User:
    return live.new_user(BTC="2.5", USDT="100000")


def show_seconds(page: Page) -> None:
    page.locator("#intervals label", has_text="1s").click()


def test_console_that_is_empty_says_what_to_do(live: LiveExchange, open_console: Open) -> None:
    settings = {"tick_size": "0.00001", "lot_size": "0.001", "min_notional": "0.001"}
    fees = {"maker_fee_micros": 1000, "taker_fee_micros": 1000}
    made = live.http.put("/api/admin/symbols/ETH_BTC", json=settings | fees, headers=live.admin)
    assert made.status_code == 200, made.text
    console = open_console()
    console.page.click("text=ETH/BTC")
    expect(console.page.locator("#chart-empty")).to_contain_text("ETH/BTC has not traded yet")
    expect(console.page.locator("#asks")).to_contain_text("Nobody sells yet")
    expect(console.page.locator("#pane-open")).to_contain_text("Sign in with an API key")
    console.picture("console-empty")


def test_order_that_was_placed_rests_is_filled_by_another_and_its_rest_cancelled(
    busy: LiveExchange, open_console: Open
) -> None:
    me, other = trader(busy), trader(busy)
    console = open_console()
    page = console.page
    show_seconds(page)
    console.sign_in(me.key)

    console.fill_ticket("Buy", "64500.00", "0.5")
    page.click("label:has-text('Post only')")
    console.allowed = ("status of 400",)
    page.click("#submit")
    assert "would have traded at once" in console.toast("Buy order refused")
    console.allowed = ()

    best = float(busy.http.get("/api/depth", params={"symbol": "BTC_USDT", "limit": 1}).json()["bids"][0][0])
    price = f"{best + 1:.2f}".rstrip("0").rstrip(".")
    page.fill("#price", price)
    page.click("#submit")
    assert "Buy 0.5 BTC" in console.toast("Order rests in the book")
    expect(page.locator("#pane-open tbody tr")).to_have_count(1)
    resting = page.locator(f"#bids tr[data-price='{price}']")
    expect(resting).to_have_attribute("data-own", "")
    expect(resting.locator("td").nth(1)).to_have_text("0.50000")
    expect(page.locator("#available")).to_have_text(re.compile(r"^[0-9,.]+ USDT$"))
    console.picture("console-light-order-rests")

    assert other.order("Sell", price, "0.2", time_in_force="IOC")["order_status"] == "Filled"
    expect(page.locator("#pane-open tbody tr")).to_contain_text("40 %")
    expect(resting.locator("td").nth(1)).to_have_text("0.30000")
    expect(page.locator("#tape tr").first).to_contain_text("0.20000")
    page.click("#tab-balances")
    # 0.1 % of what was bought is the fee.
    expect(page.locator(f"{BALANCES} tr", has_text="BTC")).to_contain_text("2.69980000")
    held = me.balances()["USDT"]
    expect(page.locator(f"{BALANCES} tr", has_text="USDT")).to_contain_text(f"{float(held[1]):,.8f}")
    page.click("#tab-fills")
    expect(page.locator("#pane-fills tbody tr")).to_contain_text("maker")
    console.picture("console-light-filled")

    page.click("#tab-open")
    page.click("#pane-open .row-button")
    assert "0.2 had been filled" in console.toast("Order cancelled")
    expect(page.locator("#pane-open")).to_contain_text("No open orders")
    expect(resting).to_have_count(0)
    assert me.balances()["USDT"][1] == "0"
    page.click("#tab-history")
    expect(page.locator("#pane-history tbody tr").first).to_contain_text("Cancelled")


def test_market_order_that_is_too_large_for_the_balance_is_refused_in_plain_words(
    busy: LiveExchange, open_console: Open
) -> None:
    me = busy.new_user(USDT="50")
    console = open_console(scheme="dark")
    console.allowed = ("status of 400",)
    console.sign_in(me.key)
    console.page.click("label:has-text('Market')")
    console.page.fill("#quantity", "1")
    expect(console.page.locator("#total")).to_contain_text("≈")
    console.page.click("#submit")
    assert "Not enough USDT: 50 available" in console.toast("Buy order refused")


def test_quantity_that_fits_no_lot_is_said_before_anything_is_sent(busy: LiveExchange, open_console: Open) -> None:
    me = trader(busy)
    console = open_console()
    page = console.page
    console.sign_in(me.key)
    console.fill_ticket("Buy", "60000.005", "0.000001")
    expect(page.locator("#price-note")).to_have_text("Goes in steps of 0.01 USDT.")
    expect(page.locator("#quantity-note")).to_have_text("Goes in steps of 0.00001 BTC.")
    page.click("#submit")
    expect(page.locator("#price")).to_be_focused()
    page.fill("#price", "60000")
    page.fill("#quantity", "0.00005")
    expect(page.locator("#quantity-note")).to_contain_text("at least 5 USDT")
    page.fill("#quantity", "")
    page.click("#submit")
    expect(page.locator("#quantity-note")).to_have_text("Enter a quantity.")
    assert me.get("/api/orders/history")["orders"] == []


def test_order_can_be_placed_with_the_keyboard_alone(busy: LiveExchange, open_console: Open) -> None:
    me = trader(busy)
    console = open_console()
    page, keys = console.page, console.page.keyboard
    keys.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    console.picture("console-keyboard-skip-link")
    for _ in range(20):
        keys.press("Tab")
        if page.evaluate("document.activeElement.id") == "account-button":
            break
    keys.press("Enter")
    keys.insert_text(me.key["api_key"])
    keys.press("Tab")
    keys.insert_text(me.key["secret_key"])
    keys.press("Enter")
    console.toast("Signed in")
    page.evaluate("document.activeElement.blur()")
    page.locator(".skip").focus()
    keys.press("Enter")
    keys.press("Tab")
    expect(page.locator("input[value=Buy]")).to_be_focused()
    keys.press("ArrowRight")
    expect(page.locator("input[value=Sell]")).to_be_checked()
    keys.press("Tab")
    keys.press("Tab")
    expect(page.locator("#price")).to_be_focused()
    keys.insert_text("65000")
    keys.press("ArrowUp")
    expect(page.locator("#price")).to_have_value("65000.01")
    for _ in range(4):
        keys.press("Tab")
    expect(page.locator("#quantity")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement.parentElement).boxShadow") != "none"
    keys.insert_text("0.1")
    keys.press("Enter")
    console.toast("Order rests in the book")
    assert [order["price"] for order in me.get("/api/orders/active")["orders"]] == ["65000.01"]
    # And cancelled, with the tabs of the account on the way.
    page.locator("#tab-open").focus()
    keys.press("ArrowRight")
    expect(page.locator("#tab-balances")).to_be_focused()
    expect(page.locator(BALANCES)).to_be_visible()
    keys.press("ArrowLeft")
    page.locator("#pane-open .row-button").focus()
    keys.press("Enter")
    console.toast("Order cancelled")
    page.locator("#chart").focus()
    keys.press("ArrowLeft")
    assert "Arrow keys move along" in (page.get_attribute("#chart", "aria-label") or "")


def test_console_on_a_phone_shows_one_panel_at_a_time_and_never_scrolls_sideways(
    busy: LiveExchange, open_console: Open
) -> None:
    me = trader(busy)
    console = open_console(PHONE, "dark")
    page = console.page
    console.sign_in(me.key)
    show_seconds(page)
    for panel in ("chart", "book", "ticket", "own"):
        page.click(f"[data-panel-button={panel}]")
        shown = page.locator("[data-section]:visible").evaluate_all("all => all.map(one => one.dataset.section)")
        assert set(shown) == {panel}
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    # A level that is tapped is put into the ticket.
    page.click("[data-panel-button=book]")
    console.picture("console-phone-book")
    level = page.locator("#bids tr[data-price]").nth(3)
    price = level.get_attribute("data-price")
    level.click()
    expect(page.locator("#price")).to_have_value(price or "")
    page.click("[data-part='25']")
    expect(page.locator("#submit")).to_be_in_viewport(ratio=1)
    page.click("#submit")
    console.toast("Order rests in the book")
    console.picture("console-phone-ticket")
    page.click("[data-panel-button=own]")
    expect(page.locator("#pane-open tbody tr")).to_have_count(1)
    page.locator(".toast button").last.click()
    console.picture("console-phone-account")
    page.click("#cancel-all")
    console.toast("1 order cancelled")
    page.click("[data-panel-button=chart]")
    console.picture("console-phone-chart")


def test_dark_and_light_follow_the_system_until_somebody_chooses(busy: LiveExchange, open_console: Open) -> None:
    console = open_console(DESK, "dark")
    page = console.page
    show_seconds(page)

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = background()
    console.sign_in(trader(busy).key)
    page.wait_for_timeout(300)
    console.picture("console-dark")
    page.emulate_media(color_scheme="light")
    light = background()
    assert light != dark
    page.click("#theme")
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-label") == "Theme: dark"
    assert background() == dark
    page.reload()
    assert background() == dark
    # The theme is all that is remembered: not the key, and nobody is signed in any more.
    assert page.evaluate("[Object.keys(localStorage), sessionStorage.length, document.cookie]") == [
        ["exchange-theme"],
        0,
        "",
    ]
    expect(page.locator("#account-button")).to_have_text("Sign in")


def test_key_that_is_wrong_is_refused_in_the_dialog(live: LiveExchange, open_console: Open) -> None:
    console = open_console()
    console.allowed = ("status of 401",)
    page = console.page
    page.click("#account-button")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-note")).to_contain_text("Paste both")
    page.fill("#api-key", "a" * 32)
    page.fill("#secret-key", "b" * 32)
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-note")).to_contain_text("do not fit each other")
    console.picture("console-sign-in")


def test_session_ends_when_its_key_is_revoked(busy: LiveExchange, open_console: Open) -> None:
    me = trader(busy)
    console = open_console()
    console.allowed = ("status of 401",)
    console.sign_in(me.key)
    expect(console.page.locator("#available")).to_contain_text("100,000 USDT")
    busy.http.delete(f"/api/admin/users/{me.user_id}/keys/{me.key['api_key']}", headers=busy.admin)
    me.transfer("in", "USDT", "1", f"more-{me.user_id}")
    console.toast("Signed out")
    expect(console.page.locator("#account-button")).to_have_text("Sign in")


def test_operations_show_health_lag_cores_and_halted_markets(busy: LiveExchange, open_console: Open) -> None:
    settings = next(one for one in busy.http.get("/api/symbols").json()["symbols"] if one["name"] == "ETH_USDT")
    body = {name: value for name, value in settings.items() if name not in ("name", "base", "quote")}
    console = open_console()
    page = console.page
    page.click("[data-view-button=operations]")
    expect(page.locator("#ops .banner")).to_contain_text("Ready")
    try:
        halted = busy.http.put("/api/admin/symbols/ETH_USDT", json=body | {"status": "Halted"}, headers=busy.admin)
        assert halted.status_code == 200, halted.text
        expect(page.locator("#ops .banner")).to_contain_text("ETH_USDT is Halted")
        for text in ("ubscore-0", "matcher-0", "settlement", "balance.events-0", "order matched", "Last snapshot"):
            expect(page.locator("#ops")).to_contain_text(text)
        expect(page.locator("#ops tr", has_text="ubscore-0").first).to_contain_text("active")
        expect(page.locator("#ops tr", has_text="settlement").first).to_contain_text("ready")
        expect(page.locator("#ops .ops-note")).to_have_count(0)
        console.picture("console-operations-light")
        page.emulate_media(color_scheme="dark")
        console.picture("console-operations-dark")
        page.click("[data-view-button=trade]")
        expect(page.locator(".market", has_text="ETH/USDT")).to_have_attribute("data-halted", "halted")
    finally:
        busy.http.put("/api/admin/symbols/ETH_USDT", json=body | {"status": "Trading"}, headers=busy.admin)
