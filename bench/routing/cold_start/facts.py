"""What the cold-start questions are made of: facts, texts and labels, written by hand for this bench; no questions."""

from __future__ import annotations

CAPITALS = (
    "Portugal:Lisbon Greece:Athens Sweden:Stockholm Norway:Oslo Finland:Helsinki Hungary:Budapest Ireland:Dublin "
    "Egypt:Cairo Kenya:Nairobi Japan:Tokyo Thailand:Bangkok Peru:Lima Chile:Santiago Cuba:Havana Iran:Tehran "
    "Mongolia:Ulaanbaatar Ghana:Accra Jordan:Amman Iceland:Reykjavik Slovenia:Ljubljana"
)
SYMBOLS = (
    "oxygen:O hydrogen:H carbon:C iron:Fe gold:Au silver:Ag sodium:Na potassium:K helium:He lead:Pb tin:Sn copper:Cu"
)
OPPOSITES = (
    "hot:cold early:late open:closed heavy:light empty:full north:south cheap:expensive ancient:modern victory:defeat"
    " generous:stingy"
)
PLURALS = "mouse:mice foot:feet child:children leaf:leaves goose:geese city:cities box:boxes ox:oxen"
PAST = "go:went write:wrote bring:brought swim:swam teach:taught freeze:froze"
WHO = (
    ("Who wrote the novel Don Quixote? Answer with the surname only.", "Cervantes"),
    ("Who painted the Mona Lisa? Answer with one name.", ("Leonardo", "Vinci")),
    ("Who developed the theory of general relativity? Answer with the surname only.", "Einstein"),
    ("Which planet is the largest of the solar system? Answer with one word.", "Jupiter"),
    ("Which planet is known as the red planet? Answer with one word.", "Mars"),
    ("What is the largest ocean on Earth? Answer with one word.", "Pacific"),
    ("What is the longest river in South America? Answer with one word.", "Amazon"),
    ("What gas do plants take in from the air for photosynthesis? Answer briefly.", ("carbon dioxide", "CO2")),
    ("At how many degrees Celsius does water boil at sea level? Answer with the number only.", "100"),
    ("How many legs does a spider have? Answer with the number only.", "8"),
    ("How many sides does a hexagon have? Answer with the number only.", "6"),
    ("How many minutes are in three hours? Answer with the number only.", "180"),
    ("How many days does a leap year have? Answer with the number only.", "366"),
    ("What is the hardest natural material? Answer with one word.", "diamond"),
    ("Which organ pumps blood through the body? Answer with one word.", "heart"),
    ("What is the currency of Japan? Answer with one word.", "yen"),
    ("In which country are the pyramids of Giza? Answer with one word.", "Egypt"),
    ("Which language is mainly spoken in Brazil? Answer with one word.", "Portuguese"),
    ("What is the frozen form of water called? Answer with one word.", "ice"),
    ("Which instrument measures earthquakes? Answer with one word.", ("seismograph", "seismometer")),
)
CHOICES = (
    # question, right, wrong, wrong, wrong
    ("Which of these animals is a bird?", "penguin", "bat", "salmon", "otter"),
    ("Which of these is a vegetable root?", "carrot", "spinach", "plum", "walnut"),
    ("Which of these metals is liquid at room temperature?", "mercury", "iron", "zinc", "nickel"),
    ("Which of these is a primary colour of light?", "green", "brown", "grey", "pink"),
    ("Which of these countries is in Africa?", "Morocco", "Nepal", "Bolivia", "Latvia"),
    ("Which of these is a unit of electric current?", "ampere", "litre", "newton", "pascal"),
    ("Which of these instruments has strings?", "cello", "flute", "trumpet", "drum"),
    ("Which of these is a programming language?", "Python", "Photoshop", "Bluetooth", "Ethernet"),
    ("Which of these oceans lies between Africa and Australia?", "Indian", "Arctic", "Atlantic", "Southern"),
    ("Which of these is a source of renewable energy?", "wind", "coal", "oil", "peat"),
    ("Which part of a plant absorbs water from the soil?", "root", "petal", "stem", "seed"),
    ("Which of these numbers is even?", "58", "37", "91", "13"),
    ("Which of these numbers is a square number?", "49", "50", "38", "27"),
    ("Which of these shapes has no corners?", "circle", "square", "triangle", "pentagon"),
    ("Which of these words is a verb?", "run", "table", "blue", "quickly"),
    ("Which of these words is spelled correctly?", "necessary", "neccessary", "necesary", "nessessary"),
    ("Which of these is the smallest?", "millimetre", "metre", "kilometre", "centimetre"),
    ("Which of these months has 30 days?", "April", "May", "July", "August"),
    ("Which of these composers wrote the Ninth Symphony with the Ode to Joy?", "Beethoven", "Verdi", "Chopin", "Bizet"),
    ("Which of these scientists discovered penicillin?", "Fleming", "Newton", "Curie", "Darwin"),
    ("Which of these is a mineral?", "quartz", "cotton", "leather", "rubber"),
    ("Which of these is the freezing point of water?", "0 degrees C", "10 degrees C", "32 degrees C", "100 degrees C"),
    ("Which of these devices stores data?", "hard disk", "monitor", "keyboard", "speaker"),
    ("Which of these foods comes from bees?", "honey", "butter", "flour", "vinegar"),
)
FACTS = (
    # statement, whether it is true
    ("The Moon orbits the Earth.", True),
    ("Spiders are insects.", False),
    ("Paris is in Italy.", False),
    ("A triangle has three sides.", True),
    ("Ice is heavier than the same volume of water.", False),
    ("Sound travels faster than light.", False),
    ("Canada borders the United States.", True),
    ("A kilogram has 1,000 grams.", True),
    ("Whales are fish.", False),
    ("The heart is a muscle.", True),
    ("Mount Everest is in Africa.", False),
    ("A year on Earth has about 365 days.", True),
    ("Gold is a gas at room temperature.", False),
    ("Bees collect nectar.", True),
    ("The number 15 is divisible by 4.", False),
    ("Tokyo is the capital of Japan.", True),
    ("The Sahara is a desert.", True),
    ("Humans have four lungs.", False),
    ("Salt dissolves in water.", True),
    ("The opposite of 'up' is 'left'.", False),
)
TOPICS = (
    ("sport", "The home side won the match with a goal in the last minute."),
    ("sport", "She ran the marathon two minutes faster than last year."),
    ("sport", "The coach changed three players before the second half."),
    ("sport", "His serve was too strong, and the final ended in straight sets."),
    ("sport", "The cyclist lost the yellow jersey on the steepest climb."),
    ("sport", "Both swimmers broke the national record in the heats."),
    ("weather", "Heavy rain is expected in the north until Friday night."),
    ("weather", "Temperatures will fall below zero, with fog in the valleys."),
    ("weather", "A storm with gusts of 110 kilometres per hour reached the coast."),
    ("weather", "The morning starts cloudy, but the sun comes out by noon."),
    ("weather", "Snow fell down to 400 metres above the sea last night."),
    ("weather", "The dry heat will last for the whole of next week."),
    ("food", "Fry the onions in butter and add the flour slowly."),
    ("food", "The soup needs more salt and a little lemon."),
    ("food", "Let the dough rise for an hour before you bake it."),
    ("food", "Their new menu offers three vegetarian dishes and a cheese plate."),
    ("food", "Peel the potatoes, boil them and mash them with milk."),
    ("food", "The bread was warm and the jam was home made."),
    ("music", "The orchestra played the second movement far too slowly."),
    ("music", "Her new album has ten songs, most of them for piano and voice."),
    ("music", "The drummer missed the first beat after the chorus."),
    ("music", "He tuned his violin for a quarter of an hour before the concert."),
    ("music", "The choir sang in four parts without accompaniment."),
    ("music", "They wrote the melody first and the lyrics a year later."),
)
MAILS = (
    ("spam", "You have WON 1,000,000 dollars! Click here now to claim your prize!!!"),
    ("spam", "Cheap pills without prescription, delivered overnight, 80% off today only."),
    ("spam", "Dear friend, I am a prince and need your bank account to move my fortune."),
    ("spam", "Make $5,000 a week from home, no work needed, act now!"),
    ("spam", "Your account is locked. Send us your password within 24 hours to keep it."),
    ("spam", "Hot singles in your area are waiting, sign up for free!!!"),
    ("spam", "Congratulations, you were selected for a free phone. Pay only the shipping."),
    ("spam", "Double your bitcoin in one day, guaranteed, no risk."),
    ("ham", "Hi Anna, can we move our meeting from Tuesday to Thursday at ten?"),
    ("ham", "Attached is the invoice for the repair of the printer in room 12."),
    ("ham", "Thanks for dinner last night, the children loved the cake."),
    ("ham", "The minutes of Monday's meeting are in the shared folder."),
    ("ham", "Your library book is due on 14 March; you can extend it once."),
    ("ham", "Could you review my draft of chapter two before the weekend?"),
    ("ham", "The train is 20 minutes late, please start without me."),
    ("ham", "We have received your application and will answer within two weeks."),
)
REVIEWS = (
    ("positive", "Works perfectly and arrived a day early."),
    ("positive", "The best coffee in town, and the staff is so friendly."),
    ("positive", "I read it in one night and cried at the end, wonderful."),
    ("positive", "Quiet, clean, close to the station: we will come back."),
    ("positive", "Battery lasts for days. Very happy with it."),
    ("positive", "My son loves this game and plays it every day."),
    ("positive", "Great value, I would buy it again."),
    ("positive", "A delightful film with brilliant actors."),
    ("negative", "Broke after two days and nobody answers my mails."),
    ("negative", "The room smelled of smoke and the sheets were dirty."),
    ("negative", "Boring from the first page to the last."),
    ("negative", "The sound is terrible and the cable is far too short."),
    ("negative", "We waited an hour for cold soup."),
    ("negative", "A waste of money, do not buy this."),
    ("negative", "The app crashes each time I open it."),
    ("negative", "Disappointing: the colour looks nothing like the picture."),
)
PEOPLE = ("Elena", "Tomas", "Ruth", "Omar", "Ingrid", "Pavel", "Leila", "Henrik", "Sofia", "Marek", "Nadia", "Jonas")
TOWNS = ("Lund", "Porto", "Graz", "Leeds", "Tampere", "Split", "Cork", "Ghent", "Bologna", "Tartu", "Aarhus", "Lyon")
THINGS = ("lamp", "bicycle", "carpet", "kettle", "violin", "tent", "mirror", "camera", "desk", "clock", "drill", "sofa")
JOBS = ("baker", "nurse", "pilot", "teacher", "plumber", "lawyer", "gardener", "architect", "dentist", "farmer")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
