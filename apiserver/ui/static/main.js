// Where the page begins: the session, what stands around the views, the live feed, the first view.

import { takeKeyFromAddress } from "./api/session.js";
import { connection, startSessionWatch } from "./shell/connection.js";
import { startKeys } from "./shell/keys.js";
import { startNavigation } from "./shell/navigation.js";
import { remember, startRouter } from "./shell/router.js";
import { startScope } from "./shell/scope.js";
import { startTheme } from "./shell/theme.js";
import { startFeed } from "./world/feed.js";

takeKeyFromAddress();
remember({ again: "" }); // it has come (first.js)
startTheme();
startSessionWatch();
startScope();
startFeed(connection);
startRouter();
startKeys();
startNavigation();
