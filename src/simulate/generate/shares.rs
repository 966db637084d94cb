//! Users, locations, devices and applications: tables of shares, all of one table in the same unit.
//!
//! Texts go into JSON as they are: a quote within them is written `\"` here.

/// The location of a user.
pub(crate) struct Location {
    pub(crate) continent: &'static str,
    pub(crate) country: &'static str,
    pub(crate) region: &'static str,
    pub(crate) city: &'static str,
    /// Minutes by which local time is ahead of UTC. There is no summer time.
    pub(crate) offset_min: i32,
    pub(crate) providers: &'static [(u32, &'static str)],
    pub(crate) carriers: &'static [(u32, &'static str)],
}

macro_rules! places {
    ($($share:literal $continent:literal $country:literal $region:literal $city:literal $offset:literal $isp:ident $car:ident;)*) => {
        &[$(($share, Location {
            continent: $continent, country: $country, region: $region, city: $city,
            offset_min: $offset, providers: $isp, carriers: $car,
        }),)*]
    };
}

type Shares = &'static [(u32, &'static str)];

const US: Shares = &[
    (30, "Comcast Cable"),
    (20, "Charter Communications"),
    (15, "AT&T Services"),
    (12, "Verizon Fios"),
    (8, "Cox Communications"),
];
const US_M: Shares = &[(40, "Verizon"), (30, "T-Mobile"), (28, "AT&T")];
const DE: Shares = &[(45, "Deutsche Telekom AG"), (30, "Vodafone GmbH"), (15, "1&1 Versatel")];
const DE_M: Shares = &[(38, "Telekom.de"), (32, "Vodafone.de"), (28, "o2 - de")];
const UK: Shares = &[(30, "BT"), (25, "Sky UK"), (20, "Virgin Media"), (15, "TalkTalk")];
const UK_M: Shares = &[(30, "EE"), (28, "O2 - UK"), (22, "Vodafone"), (15, "3")];
const FR: Shares = &[(40, "Orange S.A."), (25, "Free SAS"), (20, "SFR SA")];
const FR_M: Shares = &[(40, "Orange F"), (25, "SFR"), (20, "Free")];
const PL: Shares = &[(35, "Orange Polska"), (25, "UPC Polska"), (20, "Netia SA")];
const PL_M: Shares = &[(30, "Play"), (28, "Orange PL"), (25, "Plus")];
const AT: Shares = &[(45, "A1 Telekom Austria AG"), (25, "Magenta Telekom"), (10, "Liwest")];
const AT_M: Shares = &[(38, "A1"), (32, "Magenta"), (25, "3 AT")];
const ES: Shares = &[(40, "Telefonica de Espana"), (28, "Orange Espagne"), (20, "Vodafone Ono")];
const ES_M: Shares = &[(35, "Movistar"), (28, "Orange ES"), (20, "vodafone ES")];
const BR: Shares = &[(35, "Claro NXT"), (30, "Vivo"), (15, "Oi Fibra")];
const BR_M: Shares = &[(38, "Vivo BR"), (28, "Claro BR"), (25, "TIM BR")];
const IN: Shares = &[(40, "Reliance Jio Infocomm"), (30, "Bharti Airtel"), (10, "BSNL")];
const IN_M: Shares = &[(45, "Jio 4G"), (35, "airtel"), (15, "Vi India")];
const JP: Shares = &[(35, "NTT Communications"), (25, "KDDI Corporation"), (20, "SoftBank")];
const JP_M: Shares = &[(40, "NTT DOCOMO"), (28, "KDDI"), (20, "SoftBank")];
const AU: Shares = &[(40, "Telstra"), (25, "Optus"), (20, "TPG Internet")];
const AU_M: Shares = &[(45, "Telstra Mobile"), (30, "Optus AU"), (20, "VODAFONE AU")];
const XX: Shares = &[(50, "National Telecom"), (30, "City Fibre Net"), (20, "Global Transit")];
const XX_M: Shares = &[(50, "Mobile One"), (50, "Airwave")];

pub(crate) const PLACES: &[(u32, Location)] = places! {
    90 "North America" "United States" "California" "Los Angeles" -480 US US_M;
    60 "North America" "United States" "New York" "New York" -300 US US_M;
    45 "North America" "United States" "Texas" "Houston" -360 US US_M;
    35 "North America" "United States" "Florida" "Miami" -300 US US_M;
    30 "North America" "United States" "Illinois" "Chicago" -360 US US_M;
    12 "North America" "United States" "Washington" "Seattle" -480 US US_M;
    14 "North America" "Canada" "Ontario" "Toronto" -300 XX XX_M;
    9 "North America" "Canada" "Québec" "Montréal" -300 XX XX_M;
    10 "North America" "Mexico" "Ciudad de México" "Mexico City" -360 XX XX_M;
    50 "Europe" "Germany" "Bavaria" "Munich" 60 DE DE_M;
    40 "Europe" "Germany" "Berlin" "Berlin" 60 DE DE_M;
    35 "Europe" "Germany" "North Rhine-Westphalia" "Cologne" 60 DE DE_M;
    60 "Europe" "United Kingdom" "England" "London" 0 UK UK_M;
    20 "Europe" "United Kingdom" "England" "Manchester" 0 UK UK_M;
    40 "Europe" "France" "Île-de-France" "Paris" 60 FR FR_M;
    12 "Europe" "France" "Auvergne-Rhône-Alpes" "Lyon" 60 FR FR_M;
    25 "Europe" "Poland" "Mazovia" "Warsaw" 60 PL PL_M;
    12 "Europe" "Poland" "Pomerania" "Gdańsk" 60 PL PL_M;
    22 "Europe" "Austria" "Vienna" "Vienna" 60 AT AT_M;
    14 "Europe" "Austria" "Upper Austria" "Linz" 60 AT AT_M;
    24 "Europe" "Spain" "Madrid" "Madrid" 60 ES ES_M;
    16 "Europe" "Spain" "Catalonia" "Barcelona" 60 ES ES_M;
    20 "Europe" "Italy" "Lombardy" "Milan" 60 XX XX_M;
    15 "Europe" "Netherlands" "North Holland" "Amsterdam" 60 XX XX_M;
    10 "Europe" "Sweden" "Stockholm" "Stockholm" 60 XX XX_M;
    30 "South America" "Brazil" "São Paulo" "São Paulo" -180 BR BR_M;
    8 "South America" "Argentina" "Buenos Aires" "Buenos Aires" -180 XX XX_M;
    40 "Asia" "India" "Karnataka" "Bengaluru" 330 IN IN_M;
    30 "Asia" "India" "Maharashtra" "Mumbai" 330 IN IN_M;
    25 "Asia" "Japan" "Tokyo" "Tokyo" 540 JP JP_M;
    8 "Asia" "Japan" "Osaka" "Osaka" 540 JP JP_M;
    10 "Asia" "Singapore" "Singapore" "Singapore" 480 XX XX_M;
    8 "Asia" "United Arab Emirates" "Dubai" "Dubai" 240 XX XX_M;
    20 "Oceania" "Australia" "New South Wales" "Sydney" 600 AU AU_M;
    8 "Oceania" "Australia" "Victoria" "Melbourne" 600 AU AU_M;
    7 "Africa" "South Africa" "Gauteng" "Johannesburg" 120 XX XX_M;
    5 "Africa" "Kenya" "Nairobi" "Nairobi" 180 XX XX_M;
};

/// Sessions in each hour of the local day: few at night, more at noon, most at eight.
pub(crate) const HOURS: [u32; 24] =
    [18, 11, 7, 5, 5, 8, 17, 32, 48, 58, 63, 66, 70, 66, 62, 62, 65, 70, 77, 86, 92, 84, 60, 34];

/// The device and the browser of a session.
pub(crate) struct Device {
    pub(crate) client: &'static str,
    pub(crate) browser_type: &'static str,
    pub(crate) browser: &'static str,
    pub(crate) version: &'static str,
    pub(crate) os: &'static str,
    pub(crate) os_version: &'static str,
    pub(crate) manufacturer: &'static str,
    pub(crate) device: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) resolution: &'static str,
}

impl Device {
    /// Returns true for a telephone or a tablet.
    pub(crate) fn mobile(&self) -> bool {
        !self.manufacturer.is_empty()
    }
}

macro_rules! devices {
    ($($share:literal $client:literal $kind:literal $browser:literal $version:literal $os:literal $osv:literal $maker:literal $device:literal $w:literal $h:literal $res:literal;)*) => {
        &[$(($share, Device {
            client: $client, browser_type: $kind, browser: $browser, version: $version, os: $os,
            os_version: $osv, manufacturer: $maker, device: $device, width: $w, height: $h,
            resolution: $res,
        }),)*]
    };
}

/// Browsers of real users.
pub(crate) const BROWSERS: &[(u32, Device)] = devices! {
    170 "Desktop Browser" "Desktop Browser" "Chrome" "Chrome 142" "Windows" "Windows 11" "" "" 1920 1080 "FHD";
    70 "Desktop Browser" "Desktop Browser" "Chrome" "Chrome 141" "Windows" "Windows 10" "" "" 1536 864 "HD";
    60 "Desktop Browser" "Desktop Browser" "Edge" "Edge 142" "Windows" "Windows 11" "" "" 2560 1440 "QHD";
    45 "Desktop Browser" "Desktop Browser" "Chrome" "Chrome 142" "macOS" "macOS 26" "" "" 1728 1117 "HD+";
    40 "Desktop Browser" "Desktop Browser" "Safari" "Safari 26" "macOS" "macOS 26" "" "" 1512 982 "HD";
    30 "Desktop Browser" "Desktop Browser" "Firefox" "Firefox 145" "Windows" "Windows 11" "" "" 1920 1080 "FHD";
    12 "Desktop Browser" "Desktop Browser" "Firefox" "Firefox 144" "Linux" "Ubuntu Linux" "" "" 1920 1200 "WUXGA";
    8 "Desktop Browser" "Desktop Browser" "Opera" "Opera 123" "Windows" "Windows 10" "" "" 1366 768 "HD";
    150 "Mobile Browser" "Mobile Browser" "Safari Mobile" "Safari Mobile 26" "iOS" "iOS 26.1" "Apple" "iPhone 16" 852 393 "HD";
    50 "Mobile Browser" "Mobile Browser" "Safari Mobile" "Safari Mobile 18" "iOS" "iOS 18.6" "Apple" "iPhone 13" 844 390 "HD";
    130 "Mobile Browser" "Mobile Browser" "Chrome Mobile" "Chrome Mobile 142" "Android" "Android 16" "Samsung" "Galaxy S25" 915 412 "HD";
    70 "Mobile Browser" "Mobile Browser" "Chrome Mobile" "Chrome Mobile 141" "Android" "Android 15" "Xiaomi" "Redmi Note 14" 873 393 "HD";
    25 "Mobile Browser" "Mobile Browser" "Samsung Internet" "Samsung Internet 28" "Android" "Android 15" "Samsung" "Galaxy A55" 883 412 "HD";
    20 "Tablet Browser" "Tablet Browser" "Safari Mobile" "Safari Mobile 26" "iOS" "iPadOS 26.1" "Apple" "iPad Air" 1180 820 "HD";
};

/// Telephones with a mobile app.
pub(crate) const PHONES: &[(u32, Device)] = devices! {
    200 "Mobile App" "" "" "" "iOS" "iOS 26.1" "Apple" "iPhone17,1" 2556 1179 "FHD+";
    100 "Mobile App" "" "" "" "iOS" "iOS 18.6" "Apple" "iPhone14,5" 2532 1170 "FHD+";
    150 "Mobile App" "" "" "" "Android" "Android 16" "Samsung" "SM-S931B" 2340 1080 "FHD+";
    90 "Mobile App" "" "" "" "Android" "Android 15" "Xiaomi" "24117RN76G" 2400 1080 "FHD+";
    60 "Mobile App" "" "" "" "Android" "Android 16" "Google" "Pixel 9" 2424 1080 "FHD+";
    40 "Mobile App" "" "" "" "Android" "Android 14" "Motorola" "moto g84" 2400 1080 "FHD+";
};

/// The machines of synthetic monitors.
pub(crate) const MONITOR: Device = Device {
    client: "Synthetic Agent",
    browser_type: "Synthetic Agent",
    browser: "Synthetic monitor",
    version: "Synthetic monitor",
    os: "Linux",
    os_version: "Linux",
    manufacturer: "",
    device: "",
    width: 1920,
    height: 1080,
    resolution: "FHD",
};

/// Robots.
pub(crate) const ROBOTS: &[(u32, Device)] = devices! {
    60 "Robot" "Robot" "Googlebot" "Googlebot 2" "Linux" "Linux" "" "" 1024 1024 "XGA";
    25 "Robot" "Robot" "Bingbot" "Bingbot 2" "Linux" "Linux" "" "" 1024 768 "XGA";
    15 "Robot" "Robot" "AhrefsBot" "AhrefsBot 7" "Linux" "Linux" "" "" 1280 800 "WXGA";
};

/// A terminal of a custom application.
pub(crate) const KIOSK: Device = Device {
    client: "Custom Application",
    browser_type: "",
    browser: "",
    version: "",
    os: "Linux",
    os_version: "Debian 13",
    manufacturer: "Nordwind",
    device: "Kiosk 3",
    width: 1920,
    height: 1080,
    resolution: "FHD",
};

/// Kinds of sessions: of real users in browsers, in the app, at kiosks; of monitors; of robots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Web,
    App,
    Kiosk,
    Monitor,
    Robot,
}

pub(crate) const SORTS: &[(u32, Sort)] = &[
    (700, Sort::Web),
    (190, Sort::App),
    (15, Sort::Kiosk),
    (70, Sort::Monitor),
    (25, Sort::Robot),
];

/// One page or view of an application.
pub(crate) struct Page {
    pub(crate) path: &'static str,
    /// The label of the link to it.
    pub(crate) label: &'static str,
    /// Shares of the pages that follow, by number; the rest of 100 leaves the application.
    pub(crate) next: &'static [(u32, u8)],
}

/// An application of the tenant.
pub(crate) struct Application {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) pages: &'static [Page],
    /// Pages where sessions begin.
    pub(crate) entry: &'static [(u32, u8)],
    /// The page that reaches the goal, and the goal's name.
    pub(crate) goal: (u8, &'static str),
    /// The page whose action is a key user action.
    pub(crate) key: (u8, &'static str),
}

const fn page(path: &'static str, label: &'static str, next: &'static [(u32, u8)]) -> Page {
    Page { path, label, next }
}

pub(crate) const WEB: &[(u32, Application)] = &[
    (
        70,
        Application {
            name: "Nordwind shop",
            id: "APPLICATION-5C1A7E0D9F3B2846",
            domain: "shop.nordwind.example",
            pages: &[
                page("/", "Home", &[(48, 1), (22, 2), (8, 6), (6, 8)]),
                page("/search", "Search", &[(38, 1), (42, 2), (6, 0)]),
                page("/journeys/detail", "Show journey", &[(38, 1), (26, 2), (12, 3), (5, 8)]),
                page("/booking", "Book now", &[(62, 4), (12, 2), (8, 6)]),
                page("/booking/payment", "Continue to payment", &[(68, 5), (14, 3), (4, 8)]),
                page("/booking/confirmed", "Pay", &[(20, 7), (15, 0)]),
                page("/login", "Sign in", &[(50, 7), (22, 0), (8, 6)]),
                page("/account", "My journeys", &[(30, 2), (25, 7), (15, 1)]),
                page("/help", "Help", &[(35, 0), (25, 8)]),
            ],
            entry: &[(60, 0), (20, 1), (14, 2), (6, 6)],
            goal: (5, "Journey booked"),
            key: (4, "APPLICATION_METHOD-9D1F00A73BC24E58"),
        },
    ),
    (
        30,
        Application {
            name: "Nordwind partners",
            id: "APPLICATION-0B77D2C46E91A5F3",
            domain: "partners.nordwind.example",
            pages: &[
                page("/", "Dashboard", &[(40, 1), (25, 2), (10, 4)]),
                page("/offers", "Offers", &[(40, 1), (20, 3), (20, 0)]),
                page("/reports", "Reports", &[(45, 2), (20, 0)]),
                page("/offers/edit", "Edit offer", &[(22, 5), (25, 3), (20, 1)]),
                page("/settings", "Settings", &[(40, 0), (20, 4)]),
                page("/offers/published", "Publish", &[(45, 1), (20, 0)]),
            ],
            entry: &[(80, 0), (12, 1), (8, 2)],
            goal: (5, "Offer published"),
            key: (3, "APPLICATION_METHOD-46E0B8125AD37C9F"),
        },
    ),
];

pub(crate) const APP: Application = Application {
    name: "Nordwind app",
    id: "MOBILE_APPLICATION-752C288D59734C79",
    domain: "api.nordwind.example",
    pages: &[
        page("Start", "Start", &[(50, 1), (15, 4), (10, 2)]),
        page("Search", "Search", &[(32, 1), (52, 2)]),
        page("Journey", "Journey", &[(34, 1), (32, 2), (12, 3)]),
        page("Checkout", "Buy", &[(60, 5), (15, 2)]),
        page("Tickets", "My tickets", &[(30, 0), (30, 4)]),
        page("Thanks", "Pay", &[(50, 4), (20, 0)]),
    ],
    entry: &[(100, 0)],
    goal: (5, "Ticket bought"),
    key: (3, "DEVICE_APPLICATION_METHOD-61B9D0E7F2A85C34"),
};

pub(crate) const TERMINAL: Application = Application {
    name: "Nordwind kiosk",
    id: "CUSTOM_APPLICATION-2F9E47B1C05D8A63",
    domain: "kiosk.nordwind.example",
    pages: &[
        page("Welcome", "Begin", &[(70, 1)]),
        page("Destination", "Destination", &[(60, 2), (15, 1)]),
        page("Tickets", "Print", &[(20, 0)]),
    ],
    entry: &[(100, 0)],
    goal: (2, "Ticket printed"),
    key: (1, "CUSTOM_APPLICATION_METHOD-7A30D1C9E8B5F426"),
};

pub(crate) const SCRIPT_ERRORS: &[(u32, &str)] = &[
    (50, "TypeError: Cannot read properties of undefined (reading 'price')"),
    (20, "ReferenceError: dataLayer is not defined"),
    (15, "Script error."),
    (10, "SyntaxError: Unexpected token '<'"),
    (5, "QuotaExceededError: The quota has been exceeded."),
];
pub(crate) const REQUEST_ERRORS: &[(u32, &str)] = &[
    (40, "HTTP 404 - https://shop.nordwind.example/media/teaser.webp"),
    (30, "HTTP 500 - https://api.nordwind.example/v2/offers"),
    (20, "HTTP 503 - https://api.nordwind.example/v2/prices"),
    (10, "Connection failed - https://stats.example.net/collect"),
];
pub(crate) const CRASHES: &[(u32, &str)] = &[
    (50, "java.lang.NullPointerException"),
    (30, "NSInvalidArgumentException"),
    (20, "java.lang.OutOfMemoryError"),
];
pub(crate) const PLANS: &[(u32, &str)] = &[(60, "basic"), (30, "silver"), (10, "gold")];
pub(crate) const CAMPAIGNS: &[(u32, &str)] = &[
    (50, "none"),
    (25, "newsletter-46"),
    (15, "autumn \\\"late\\\" offers"),
    (10, "größte Reise"),
];
pub(crate) const APP_VERSIONS: &[(u32, &str)] = &[(60, "8.4.1"), (25, "8.4.0"), (15, "8.3.2")];
pub(crate) const NETWORKS: &[(u32, &str)] = &[(60, "LTE"), (35, "5G NR"), (5, "HSPA+")];
pub(crate) const NAMES: &[&str] = &[
    "anna", "bela", "chiara", "deniz", "emil", "fatima", "goran", "hanna", "ivo", "jana", "kofi",
    "lea", "mateo", "nuria", "oskar", "priya", "quentin", "rosa", "sven", "tomoko", "ugo", "vera",
    "wim", "xenia", "yusuf", "zofia",
];
