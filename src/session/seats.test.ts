import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Seats } from "./seats.ts";

suite("seats (CFG-18)", () => {
  test("are for different users, who may come as often as they like", () => {
    const seats = new Seats(2);
    const [joe, again, ann] = [seats.take("joe"), seats.take("joe"), seats.take("ann")];
    assert.ok(joe && again && ann);
    assert.equal(seats.take("eve"), undefined);
    joe();
    assert.equal(seats.take("eve"), undefined);
    again();
    assert.ok(seats.take("eve"));
    assert.equal(seats.take("joe"), undefined);
    assert.ok(seats.take("ann"));
  });
});
